"""/imports: staff add and change products, categories and users by files; one wrong row refuses a file."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.import_export import imports
from api.models.category import Category
from api.models.idempotency_key import IdempotencyKey
from api.models.product import Product
from api.models.stock_movement import StockMovement
from api.models.user import User
from tests.books import movements_of, rows_of
from tests.factories import a_category, a_product, an_order
from tests.routes.imports.support import CSV, counts, mistakes, upload, upload_lines
from tests.routes.products.support import stored_skus
from tests.support import assert_refused

ACCESS = """
                              nobody  owner  other  staff
POST   /imports/products         401    403    403    200
POST   /imports/categories       401    403    403    200
POST   /imports/users            401    403    403    200
"""

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /imports/products": {"content": "sku,name,price\nNEW-1,New,1.00\n", "headers": CSV},
    "POST /imports/categories": {"content": "name\nNew\n", "headers": CSV},
    "POST /imports/users": {"content": "username,email\nnewcomer,newcomer@example.com\n", "headers": CSV},
}


class TestProducts:
    async def test_new_products_come_with_their_stock_and_their_category(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")
        file = "sku,name,price,stock_quantity,category,attributes\n"
        file += f'a-1,One,1.50,3,{category.slug},"{{""colour"": ""red""}}"\nA-2,Two,2,0,Vinyl,\n'

        response = await upload(as_staff, "products", file)

        assert response.status_code == 200
        assert counts(response) == (2, 0, 0, 0)
        one, two = await rows_of(session, Product)
        assert (one.sku, one.slug, str(one.price), one.stock_quantity) == ("A-1", "one", "1.50", 3)
        assert (one.attributes, one.category_id, two.category_id) == ({"colour": "red"}, category.id, category.id)
        assert await movements_of(session, one) == [(3, "initial", None)]
        assert await movements_of(session, two) == []
        movement = (await session.exec(select(StockMovement))).one()
        assert movement.user_id == staff.id

    async def test_true_in_a_file_is_another_value_than_1(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, sku="A-1", attributes={"wireless": 1})

        response = await upload_lines(as_staff, "products", {"sku": "A-1", "attributes": {"wireless": True}})

        assert counts(response) == (0, 1, 0, 0)
        await session.refresh(product)
        assert product.attributes["wireless"] is True

    async def test_a_product_that_exists_is_found_by_its_sku_and_keeps_what_the_file_does_not_say(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Old", sku="A-1", price="5.00", description="Stays.")

        response = await upload(as_staff, "products", "sku,price,name\na-1,6.00,\n")

        assert counts(response) == (0, 1, 0, 0)
        await session.refresh(product)
        assert (str(product.price), product.name, product.description) == ("6.00", "Old", "Stays.")

    async def test_an_empty_cell_clears_what_may_be_empty(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        product = await a_product(session, category=category, sku="A-1", description="Goes.")

        assert counts(await upload(as_staff, "products", "sku,description,category\nA-1,,\n")) == (0, 1, 0, 0)

        await session.refresh(product)
        assert (product.description, product.category_id) == (None, None)

    async def test_a_file_does_not_undo_what_was_sold_since(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, sku="A-1", stock_quantity=10)
        file = (await as_staff.get("/exports/products")).content
        await an_order(session, customer, (product, 4))

        response = await upload(as_staff, "products", file)

        assert counts(response) == (0, 0, 1, 0)
        assert response.json()["stock_kept"] == 1
        await session.refresh(product)
        assert product.stock_quantity == 6

    async def test_the_stock_is_set_on_demand_by_a_movement(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, sku="A-1", stock_quantity=10)
        other = await a_product(session, sku="A-2", stock_quantity=5)

        response = await upload(as_staff, "products", "sku,stock_quantity\nA-1,7\nA-2,5\n", stock=True)

        assert counts(response) == (0, 1, 1, 0)
        await session.refresh(product)
        assert product.stock_quantity == 7
        assert [delta for delta, _, _ in await movements_of(session, product)][-1] == -3
        assert len(await movements_of(session, other)) == 1

    async def test_a_wrong_row_refuses_the_file_and_each_mistake_is_named(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        file = 'sku,name,price,category\nA-1,One,1.00,\nA-2,,"1,50",nowhere\nA-1,Twice,1.00,\nA 4,Four,0,\n'

        response = await upload(as_staff, "products", file)

        assert_refused(response, 422, "3 of 4 rows are wrong, and nothing was imported.")
        assert mistakes(response) == {
            "line 3.price": "must be written with a decimal point, such as 79.99, and not with a comma",
            "line 3.category": "is no slug and no name of a category",
            "line 3.name": "Field required",
            "line 4.sku": "stands in line 2 already",
            "line 5.sku": "must consist of the letters A to Z, digits, and single hyphens between them; "
            "lower-case letters become upper-case",
            "line 5.price": "Input should be greater than 0",
        }
        assert await stored_skus(session) == []

    async def test_good_rows_are_imported_where_bad_ones_are_skipped(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        file = "sku,name,price\nA-1,One,1.00\nA-2,Two,0\nA-3,Three,3.00\n"

        response = await upload(as_staff, "products", file, skip_bad_rows=True)

        assert counts(response) == (2, 0, 0, 1)
        assert response.json()["problems"] == [
            {"line": 3, "field": "price", "message": "Input should be greater than 0"}
        ]
        assert await stored_skus(session) == ["A-1", "A-3"]

    async def test_a_dry_run_answers_alike_and_writes_nothing(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, sku="A-1", price="1.00")
        good, bad = "sku,name,price\nA-1,One,2.00\nA-2,Two,2.00\n", "sku,name,price\nA-3,Three,0\n"

        assert counts(await upload(as_staff, "products", good, dry_run=True)) == (1, 1, 0, 0)
        assert_refused(await upload(as_staff, "products", bad, dry_run=True), 422, "1 of 1 rows is wrong")

        assert await stored_skus(session) == ["A-1"]
        assert counts(await upload(as_staff, "products", good)) == (1, 1, 0, 0)

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            ("A-2,Two,1.00,taken,", "A product with this slug already exists. It is product"),
            ("A-2,Taken,1.00,,shelf", "A product with this category_id and name already exists. It is product"),
        ],
    )
    async def test_a_value_of_another_product_is_refused_with_that_product(
        self, as_staff: AsyncClient, session: AsyncSession, row: str, message: str
    ) -> None:
        shelf = await a_category(session, "Shelf", slug="shelf")
        other = await a_product(session, "Taken", shelf, sku="A-1", slug="taken")

        response = await upload(as_staff, "products", f"sku,name,price,slug,category\n{row}\n")

        assert [f"{message} {other.id}."] == list(mistakes(response).values())

    async def test_json_lines_are_checked_as_the_api_checks_its_bodies(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        rows = [
            {"sku": "A-1", "name": "One", "price": 1.5, "attributes": {"a": [1]}},
            {"sku": "A-2", "name": "Two", "price": "1.00", "colour": "red"},
            '{"sku": "A-3", "name": "Three", "price": NaN}',
            '{"sku": "A-4", "sku": "A-5"}',
            "[]",
            {"name": "Without a key", "price": 1},
            {"sku": "A-6", "name": "Six", "price": 1, "stock_quantity": True},
        ]

        response = await upload_lines(as_staff, "products", *rows)

        assert mistakes(response) == {
            "line 2.colour": "is not a column: known are `attributes`, `category`, `category_id`, `created_at`, "
            "`description`, `id`, `is_active`, `name`, `price`, `sku`, `slug`, `stock_quantity`, `updated_at`",
            "line 3": "is not valid JSON: NaN is no number",
            "line 4": "is not valid JSON: an object has the same name twice",
            "line 5": "is not a JSON object",
            "line 6.sku": "the column `sku` is missing, which says which row of the shop each row is",
            "line 7.stock_quantity": "Input should be a valid integer",
        }
        assert counts(await upload_lines(as_staff, "products", rows[0])) == (1, 0, 0, 0)
        assert await stored_skus(session) == ["A-1"]

    async def test_a_slug_that_a_later_row_brings_is_not_made_for_an_earlier_one(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        file = "sku,name,price,slug\nA-1,One,1.00,\nA-2,Two,1.00,one\n"

        assert counts(await upload(as_staff, "products", file)) == (2, 0, 0, 0)

        slugs = {product.sku: product.slug for product in await rows_of(session, Product)}
        assert slugs["A-2"] == "one"
        assert slugs["A-1"].startswith("one-")

    async def test_a_slug_that_a_changed_row_brings_is_not_made_for_a_new_one(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        """New rows are written first, so nobody has the slug yet; with it, the change would be refused for ever."""
        await a_product(session, "Bar", sku="A-1", slug="old")

        response = await upload(as_staff, "products", "sku,name,price,slug\nA-2,Foo,1,\nA-1,,,foo\n")

        assert response.status_code == 200, response.text
        assert counts(response) == (1, 1, 0, 0)
        slugs = {product.sku: product.slug for product in await rows_of(session, Product)}
        assert slugs["A-1"] == "foo"
        assert slugs["A-2"].startswith("foo-")


class TestCategories:
    async def test_a_parent_may_stand_further_down_in_the_file(self, as_staff: AsyncClient) -> None:
        file = "name,parent\nTurntables,Players\nPlayers,Machines\nMachines,\n"

        assert counts(await upload(as_staff, "categories", file)) == (3, 0, 0, 0)

        tree = (await as_staff.get("/categories/tree")).json()
        (machines,) = [each for each in tree if each["name"] == "Machines"]
        assert machines["children"][0]["children"][0]["name"] == "Turntables"
        assert counts(await upload(as_staff, "categories", file)) == (0, 0, 3, 0)

    @pytest.mark.parametrize("dry_run", [True, False])
    async def test_a_circle_is_refused_and_nothing_is_written(self, as_staff: AsyncClient, dry_run: bool) -> None:
        before = (await as_staff.get("/categories/tree")).json()

        refused = await upload(as_staff, "categories", "name,parent\nA,B\nB,A\n", dry_run=dry_run)

        assert_refused(refused, 409, "A category cannot be its own ancestor")
        assert (await as_staff.get("/categories/tree")).json() == before

    async def test_a_parent_that_is_nowhere_is_named(self, as_staff: AsyncClient) -> None:
        refused = await upload(as_staff, "categories", "name,parent\nA,B\n")

        assert mistakes(refused) == {"line 2.parent": "is no slug and no name of a category, nor of one in this file"}


class TestUsers:
    async def test_a_user_without_a_password_cannot_sign_in_and_one_with_a_password_can(
        self, as_staff: AsyncClient, client: AsyncClient
    ) -> None:
        file = "username,email,password\nann,Ann@example.com,Secret123\nbob,bob@example.com,\n"

        assert counts(await upload(as_staff, "users", file)) == (2, 0, 0, 0)

        for name, status in (("ann", 200), ("bob", 401)):
            signed_in = await client.post("/auth/token", data={"username": name, "password": "Secret123"})
            assert signed_in.status_code == status

    async def test_nobody_becomes_staff_or_gets_another_password_by_a_file(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        file = f"email,is_superuser,password\n{customer.email},true,Secret123\n"
        before = customer.hashed_password

        refused = await upload(as_staff, "users", file)
        left_out = await upload(as_staff, "users", file.replace("true", "false"))

        assert mistakes(refused) == {
            "line 2.is_superuser": "cannot be written here: staff set it by `PATCH /users/{id}`"
        }
        assert counts(left_out) == (0, 0, 1, 0)
        assert left_out.json()["not_imported"] == ["password"]
        await session.refresh(customer)
        assert (customer.hashed_password, customer.is_superuser) == (before, False)

    async def test_no_password_is_hashed_of_a_file_that_is_refused_already(
        self, as_staff: AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hashed: list[str] = []

        async def note(password: str) -> str:
            hashed.append(password)
            return "hash"

        monkeypatch.setattr(imports, "hash_password", note)
        rows = "".join(f"user{number},user{number}@example.com,Secret123\n" for number in range(300))
        file = f"username,email,password\nann,nowhere,Secret123\n{rows}"

        assert_refused(await upload(as_staff, "users", file), 422, "1 of 301 rows is wrong")
        assert hashed == []
        assert counts(await upload(as_staff, "users", file, skip_bad_rows=True)) == (300, 0, 0, 1)
        assert len(hashed) == 300

    async def test_a_user_is_found_by_e_mail_address(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        file = f"email,full_name\n{customer.email.upper()},Ann Other\n"

        assert counts(await upload(as_staff, "users", file)) == (0, 1, 0, 0)

        await session.refresh(customer)
        assert customer.full_name == "Ann Other"


class TestKeys:
    async def test_a_repeated_import_is_answered_again_and_another_file_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        headers = {**CSV, "Idempotency-Key": "first"}
        file = b"sku,name,price\nA-1,One,1.00\n"

        first = await as_staff.post("/imports/products", content=file, headers=headers)
        again = await as_staff.post("/imports/products", content=file, headers=headers)
        other = await as_staff.post("/imports/products", content=file + b"A-2,Two,1\n", headers=headers)

        assert counts(first) == counts(again) == (1, 0, 0, 0)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert_refused(other, 422, "was already used for another request")
        assert len(await rows_of(session, IdempotencyKey)) == 1

    async def test_a_key_is_not_used_up_by_a_request_whose_file_was_not_read(self, as_staff: AsyncClient) -> None:
        key, file = {"Idempotency-Key": "first"}, b"sku,name,price\nA-1,One,1.00\n"

        refused = await as_staff.post("/imports/products", content=file, headers={**key, "Content-Type": "text/plain"})
        packed = await as_staff.post(
            "/imports/products", content=file, headers={**CSV, **key, "Content-Encoding": "gzip"}
        )
        done = await as_staff.post("/imports/products", content=file, headers={**CSV, **key})

        assert_refused(refused, 422, "must be sent with the Content-Type text/csv or application/jsonl")
        assert_refused(packed, 415, "compressed")
        assert counts(done) == (1, 0, 0, 0)

    @pytest.mark.parametrize(
        ("entity", "file"),
        [("products", b"sku,name,price\nA-1,One,1.00\n"), ("categories", b"name,parent\nBelow,Above\nAbove,\n")],
    )
    async def test_a_dry_run_uses_its_key_up(
        self, as_staff: AsyncClient, session: AsyncSession, entity: str, file: bytes
    ) -> None:
        """Also where it has to write, and to undo, what rows that refer to each other say together."""
        headers, dry = {**CSV, "Idempotency-Key": "dry"}, {"dry_run": "true"}

        first = await as_staff.post(f"/imports/{entity}", content=file, headers=headers, params=dry)
        again = await as_staff.post(f"/imports/{entity}", content=file, headers=headers, params=dry)
        for_good = await as_staff.post(f"/imports/{entity}", content=file, headers=headers)

        assert first.json() == again.json()
        assert again.headers["Idempotent-Replayed"] == "true"
        assert_refused(for_good, 422, "was already used for another request")
        assert len(await rows_of(session, IdempotencyKey)) == 1
        assert await stored_skus(session) == []
        names = (await session.exec(select(Category.name))).all()
        assert not {"Above", "Below"} & set(names)

    async def test_a_refused_import_is_refused_again(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        headers = {**CSV, "Idempotency-Key": "bad"}

        answers = [
            await as_staff.post("/imports/products", content=b"sku,name,price\nA-1,One,0\n", headers=headers)
            for _ in range(2)
        ]

        assert answers[0].json() == answers[1].json()
        assert answers[1].headers["Idempotent-Replayed"] == "true"
