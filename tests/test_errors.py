"""Every refusal has one shape, says what is wrong, and repeats nothing of what was sent."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, col, delete, func, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import refusal_for
from api.database.sessions import Database
from api.errors import Conflict, ShopError, Unprocessable
from api.models.account import Account
from api.models.category import Category
from api.models.order import Order
from api.models.payment import Payment, PaymentMethod
from api.models.product import Product
from api.models.user import User
from api.web.problems import PROBLEM_JSON
from tests.databases import Backend
from tests.support import PASSWORD_HASH, assert_refused, save

JSON = {"Content-Type": "application/json"}
SECRET = "correct horse battery staple"

NO_JSON = {
    "an open bracket": b"{",
    "two values": b"{}{}",
    "a comma too many": b'{"username": "a",}',
    "single quotes": b"{'username': 'a'}",
    "a control character": b'{"username": "a\nb"}',
    "nothing but a NUL": b"\0",
    "UTF-16 that breaks off": b"\xff\xfe",
}

UNREADABLE = {
    "Latin-1": (b'{"username": "\xe9t\xe9"}', "not encoded as UTF-8"),
    "a bracket for each of 100,000 levels": (b"[" * 100_000, "nested too deeply"),
    "an object for each of 100,000 levels": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "5,000 digits": (b'{"username": ' + b"9" * 5_000 + b"}", "too many digits"),
}

NO_NAME = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "more than a float": b"1e400",
    "4,000 digits": b"9" * 4_000,
    "a lone surrogate": b'"abc\\ud800"',
    "a surrogate the wrong way round": b'"abc\\udc00\\ud800"',
    "a surrogate in UTF-8": b'"abc\xed\xa0\x80"',
    "a NUL": b'"abc\\u0000"',
    "800 levels": b"[" * 800 + b"]" * 800,
    "null": b"null",
    "true": b"true",
}

NO_ATTRIBUTES = {
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [-Infinity]}',
    "more than a float": b'{"a": 1e400}',
    "a NUL": b'{"a": ["b\\u0000"]}',
    "a NUL in a name": b'{"a": {"b\\u0000": 1}}',
    "too much": b'{"a": "' + b"x" * 10_000 + b'"}',
    "a list": b"[1]",
}


class TestTheShape:
    async def test_of_a_path_that_does_not_exist(self, client: AsyncClient) -> None:
        response = await client.get("/nowhere")

        assert response.headers["Content-Type"] == PROBLEM_JSON
        assert response.json() == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not Found"}

    async def test_of_a_method_that_a_path_does_not_take(self, client: AsyncClient) -> None:
        response = await client.put("/health")

        assert_refused(response, 405)
        assert "GET" in response.headers["Allow"]

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("DELETE", "/users", "GET, POST"),
            ("OPTIONS", "/products/1", "DELETE, GET, PATCH, PUT"),
            ("PUT", "/users/me", "GET, PATCH"),
            ("PUT", "/users/me/", "GET, PATCH"),
            ("GET", "/products/bulk", "POST"),
            ("PATCH", "/orders/user/1", "GET"),
            ("POST", "/docs", "GET, HEAD"),
        ],
    )
    async def test_of_another_method_names_all_that_the_path_has(
        self, client: AsyncClient, method: str, path: str, allowed: str
    ) -> None:
        response = await client.request(method, path)

        assert_refused(response, 405)
        assert response.headers["Allow"] == allowed

    async def test_of_who_is_not_signed_in(self, client: AsyncClient) -> None:
        response = await client.get("/orders")

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    async def test_of_what_is_not_allowed_not_there_and_taken(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await save(session, Category(name="Vinyl", slug="vinyl"))

        for response, status, title in (
            (await as_customer.get("/accounts"), 403, "Forbidden"),
            (await as_customer.get("/orders/1000000"), 404, "Not Found"),
            (await as_staff.post("/categories", json={"name": "Vinyl"}), 409, "Conflict"),
        ):
            problem = response.json()
            assert problem.keys() == {"type", "title", "status", "detail"}
            assert (problem["title"], problem["status"]) == (title, status) == (title, response.status_code)

    async def test_of_a_wrong_value_names_each_field(self, client: AsyncClient) -> None:
        body = {"username": "a", "email": "a", "password": "Long enough 1", "colour": "red"}

        problem = (await client.post("/users", json=body)).json()

        assert problem.keys() == {"type", "title", "status", "detail", "errors"}
        assert [each["field"] for each in problem["errors"]] == ["body.username", "body.email", "body.colour"]
        assert all(each.keys() == {"field", "message"} and each["message"] for each in problem["errors"])
        assert problem["detail"].startswith("body.username: ")

    async def test_names_the_field_within_a_list(self, as_customer: AsyncClient) -> None:
        body = {"items": [{"product_id": 1, "quantity": 1}, {"product_id": 1, "quantity": 0}]}

        assert_refused(await as_customer.post("/orders", json=body), 422, "body.items.1.quantity")


class TestNothingIsRepeated:
    @pytest.mark.parametrize("password", [SECRET, f"{SECRET}\0Aa1", f"{SECRET} Aa1" * 10, "Sh0rtpw"])
    async def test_of_a_password_that_is_refused(self, client: AsyncClient, password: str) -> None:
        body = {"username": "somebody", "email": "somebody@example.com", "password": password}

        response = await client.post("/users", json=body)

        assert_refused(response, 422, "body.password")
        assert password not in response.text
        assert password[:7] not in response.text

    @pytest.mark.parametrize("password", [[SECRET], {"value": SECRET}])
    async def test_of_a_password_that_is_no_text(self, client: AsyncClient, password: Any) -> None:
        body = {"username": "somebody", "email": "somebody@example.com", "password": password}

        response = await client.post("/users", json=body)

        assert_refused(response, 422, "body.password")
        assert SECRET not in response.text

    async def test_of_a_password_beside_other_mistakes(self, client: AsyncClient) -> None:
        response = await client.post("/users", json={"password": SECRET, "confirm": SECRET})

        assert_refused(response, 422)
        assert SECRET not in response.text

    async def test_of_a_new_password_that_is_refused(self, as_customer: AsyncClient) -> None:
        body = {"current_password": "SecurePass123", "new_password": SECRET}

        response = await as_customer.post("/auth/password", json=body)

        assert_refused(response, 422, "body.new_password")
        assert SECRET not in response.text
        assert "SecurePass123" not in response.text

    @pytest.mark.parametrize(
        "content", [f'{{"password": "{SECRET}"', f'"{SECRET}"', f'["{SECRET}"]', f'{{"password": "{SECRET}"}}x']
    )
    async def test_of_a_body_that_is_none(self, client: AsyncClient, content: str) -> None:
        response = await client.post("/users", content=content, headers=JSON)

        assert_refused(response, 422, "body")
        assert SECRET not in response.text

    async def test_of_a_form(self, client: AsyncClient) -> None:
        response = await client.post("/auth/token", data={"password": SECRET})

        assert_refused(response, 422, "body.username")
        assert SECRET not in response.text


class TestBodies:
    @pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
    async def test_that_are_no_json_are_told_where_it_ends(self, client: AsyncClient, content: bytes) -> None:
        response = await client.post("/users", content=content, headers=JSON)

        assert_refused(response, 422, "body: is not JSON: ")
        assert [each["field"] for each in response.json()["errors"]] == ["body"]

    @pytest.mark.parametrize(("content", "detail"), UNREADABLE.values(), ids=UNREADABLE)
    async def test_that_cannot_be_read_are_told_why(self, client: AsyncClient, content: bytes, detail: str) -> None:
        assert_refused(await client.post("/users", content=content, headers=JSON), 400, detail)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    async def test_that_cannot_be_read_are_refused_alike_everywhere(
        self, as_staff: AsyncClient, session: AsyncSession, method: str
    ) -> None:
        category = Category(name="Vinyl", slug="vinyl")
        await save(session, category)
        path = "/categories" if method == "POST" else f"/categories/{category.id}"

        assert_refused(await as_staff.request(method, path, content=b'"\xe9"', headers=JSON), 400, "UTF-8")

    @pytest.mark.parametrize("content", [b"null", b"[]", b'"x"', b"1"])
    async def test_that_are_no_object_are_refused(self, client: AsyncClient, content: bytes) -> None:
        assert_refused(await client.post("/users", content=content, headers=JSON), 422, "body: ")

    async def test_that_are_missing_are_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.post("/users"), 422, "body: Field required")

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""])
    async def test_of_another_type_are_told_which_it_is(self, client: AsyncClient, content_type: str) -> None:
        response = await client.post("/users", content=b"{}", headers={"Content-Type": content_type})

        assert_refused(response, 422, "body: must be sent with the Content-Type application/json")

    @pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/merge-patch+json"])
    async def test_of_any_kind_of_json_are_read(self, client: AsyncClient, content_type: str) -> None:
        response = await client.post("/users", content=b"{}", headers={"Content-Type": content_type})

        assert_refused(response, 422, "body.username: Field required")

    @pytest.mark.parametrize(
        ("content_type", "content"),
        [("multipart/form-data", b"x"), ("multipart/form-data; boundary=a", b"--b\r\nx")],
    )
    async def test_that_are_broken_forms_are_refused(
        self, client: AsyncClient, content_type: str, content: bytes
    ) -> None:
        response = await client.post("/auth/token", content=content, headers={"Content-Type": content_type})

        assert_refused(response, 400)

    @pytest.mark.parametrize("content", [b"username=%00&password=%00", b"username=%ff&password=%ed%a0%80"])
    async def test_that_are_forms_of_odd_bytes_sign_nobody_in(self, client: AsyncClient, content: bytes) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}

        response = await client.post("/auth/token", content=content, headers=form)

        assert response.status_code in {401, 422}


class TestValues:
    @pytest.mark.parametrize("name", NO_NAME.values(), ids=NO_NAME)
    async def test_that_are_no_text_are_refused(
        self, as_staff: AsyncClient, session: AsyncSession, name: bytes
    ) -> None:
        before = (await session.exec(select(func.count()).select_from(Category))).one()

        response = await as_staff.post("/categories", content=b'{"name": ' + name + b"}", headers=JSON)

        assert_refused(response, 422, "body.name")
        assert (await session.exec(select(func.count()).select_from(Category))).one() == before

    @pytest.mark.parametrize("attributes", NO_ATTRIBUTES.values(), ids=NO_ATTRIBUTES)
    async def test_that_are_no_attributes_are_refused(
        self, as_staff: AsyncClient, session: AsyncSession, attributes: bytes
    ) -> None:
        content = b'{"name": "Lamp", "sku": "LAMP", "price": 1, "attributes": ' + attributes + b"}"

        assert_refused(await as_staff.post("/products", content=content, headers=JSON), 422, "body.attributes")
        assert (await session.exec(select(Product))).all() == []

    @pytest.mark.parametrize(
        "path", ["/orders/0", "/orders/-1", "/orders/9223372036854775808", f"/orders/{'9' * 4000}"]
    )
    async def test_that_are_no_id_are_refused(self, as_customer: AsyncClient, path: str) -> None:
        assert_refused(await as_customer.get(path), 422, "path.id")

    async def test_the_greatest_id_is_looked_for(self, as_customer: AsyncClient) -> None:
        assert_refused(await as_customer.get("/orders/9223372036854775807"), 404)

    async def test_text_of_any_language_is_kept_as_it_is(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        name = "Łódź, 東京, 🏠, \U0010ffff, e\u0301, a\u200db"

        response = await as_staff.post("/categories", json={"name": name})

        assert response.json()["name"] == name
        assert (await session.exec(select(func.count()).where(Category.name == name))).one() == 1


Write = Callable[[AsyncSession, User], Awaitable[Any]]


def a_product(**fields: Any) -> Product:
    return Product(**{"name": "Lamp", "slug": "lamp", "sku": "LAMP", "price": Decimal(1), **fields})


def saving(*rows: Callable[[User], SQLModel]) -> Write:
    async def write(session: AsyncSession, user: User) -> None:
        for row in rows:
            await save(session, row(user))

    return write


async def delete_a_user_with_orders(session: AsyncSession, user: User) -> None:
    await save(session, Order(user_id=user.id, total_amount=Decimal(1)))
    await session.exec(delete(User).where(col(User.id) == user.id))


async def give_two_rows_one_id(session: AsyncSession, user: User) -> None:
    for name in ("one", "two"):
        await session.exec(insert(Category).values(id=1_000_000, name=name, slug=name))


async def take_away_a_name(session: AsyncSession, user: User) -> None:
    await save(session, a_product())
    await session.exec(update(Product).values(name=None))


async def use_a_reference_twice(session: AsyncSession, user: User) -> None:
    order = Order(user_id=user.id, total_amount=Decimal(1))
    await save(session, order)
    for _ in range(2):
        await save(
            session, Payment(order_id=order.id, method=PaymentMethod.CARD, amount=Decimal(1), reference="for key 'x'")
        )


async def share_a_name_within_a_category(session: AsyncSession, user: User) -> None:
    category = Category(name="Vinyl", slug="vinyl")
    await save(session, category)
    for number in "12":
        await save(session, a_product(sku=number, slug=number, category_id=category.id))


BROKEN_REFERENCE = "This refers to something that does not exist, or something else still refers to it."
DOES_NOT_GO_TOGETHER = "This does not go together with what is there already."

VIOLATIONS: dict[str, tuple[Write, str]] = {
    "a SKU": (saving(lambda _: a_product(), lambda _: a_product(slug="other")), "sku is already taken"),
    "a name": (
        saving(lambda user: User(username=user.username, email="other@example.com", hashed_password=PASSWORD_HASH)),
        "username is already taken",
    ),
    "a name within a category": (share_a_name_within_a_category, "name is already taken"),
    "a reference": (use_a_reference_twice, "method and reference are already taken"),
    "an owner": (
        saving(*(lambda user, name=name: Account(name=name, user_id=user.id) for name in "ab")),
        "user_id is already taken",
    ),
    "an id": (give_two_rows_one_id, DOES_NOT_GO_TOGETHER),
    "nobody": (saving(lambda _: Order(user_id=1_000_000, total_amount=Decimal(1))), BROKEN_REFERENCE),
    "who has orders": (delete_a_user_with_orders, BROKEN_REFERENCE),
    "below zero": (saving(lambda user: Account(name="a", user_id=user.id, balance=Decimal(-1))), DOES_NOT_GO_TOGETHER),
    "null": (take_away_a_name, DOES_NOT_GO_TOGETHER),
}


async def refusal(database: Database, write: Write, user: User) -> ShopError | None:
    with pytest.raises(DBAPIError) as caught:
        async with database.writes() as session, session.begin():
            await write(session, user)
    return refusal_for(caught.value)


class TestTheDatabase:
    @pytest.mark.parametrize(("write", "detail"), VIOLATIONS.values(), ids=VIOLATIONS)
    async def test_names_what_is_violated_alike_on_each(
        self, database: Database, customer: User, write: Write, detail: str
    ) -> None:
        refused = await refusal(database, write, customer)

        assert isinstance(refused, Conflict)
        assert refused.detail == detail

    @pytest.mark.parametrize(
        "write",
        [
            saving(lambda _: a_product(name="x" * 201)),
            saving(lambda _: a_product(stock_quantity=2**63)),
            saving(lambda _: a_product(price=Decimal(10) ** 18)),
        ],
        ids=["too long", "too many", "too dear"],
    )
    async def test_refuses_what_it_cannot_store(
        self, database: Database, backend: Backend, customer: User, write: Write
    ) -> None:
        if backend.name == "sqlite":
            pytest.skip("SQLite stores text and numbers of any length in any column")

        assert isinstance(await refusal(database, write, customer), Unprocessable)

    async def test_mistakes_of_the_shop_are_no_refusals(self, database: Database, customer: User) -> None:
        async def ask_for_nothing(session: AsyncSession, user: User) -> None:
            await (await session.connection()).exec_driver_sql("SELECT nothing FROM nowhere")

        assert await refusal(database, ask_for_nothing, customer) is None


class TestNumbers:
    """JSON has one kind of number, so 2.0 is as much an integer to JSON Schema as 2 is."""

    async def test_are_whole_without_a_fraction(self, as_staff: AsyncClient) -> None:
        product = {"name": "Cable", "sku": "C-1", "price": 1.5, "stock_quantity": 3.0}
        created = await as_staff.post("/products", json=product)
        assert created.status_code == 201, created.text
        assert created.json()["stock_quantity"] == 3

        order = {"items": [{"product_id": float(created.json()["id"]), "quantity": 2.0}]}
        assert (await as_staff.post("/orders", json=order)).status_code == 201

    @pytest.mark.parametrize("quantity", ["2.5", "1e400", "true", '"2"'])
    async def test_are_not_whole_otherwise(self, as_staff: AsyncClient, quantity: str) -> None:
        order = f'{{"items": [{{"product_id": 1, "quantity": {quantity}}}]}}'
        response = await as_staff.post("/orders", content=order, headers={"Content-Type": "application/json"})
        assert_refused(response, 422, "body.items.0.quantity")

    @pytest.mark.parametrize("price", ["", "+1", "1_0", "NaN", "Infinity", "cheap"])
    async def test_in_urls_are_written_as_in_json(self, client: AsyncClient, price: str) -> None:
        assert_refused(await client.get("/products", params={"min_price": price}), 422, "query.min_price")
        assert (await client.get("/products", params={"min_price": "1e1"})).status_code == 200
