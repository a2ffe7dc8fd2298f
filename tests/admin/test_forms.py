"""Forms of the admin: creating, editing and deleting through the API, whose refusals stand beside the fields."""

from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.order import Order
from api.models.order_item import OrderItem
from api.models.product import Product
from api.models.user import User
from tests.admin.support import Browser, fields_of, words_of
from tests.factories import a_category, a_post, a_product, a_tag, a_user, an_order
from tests.house.hostile_values import DEEP, LONG, SECRET
from tests.support import count_statements

TYPED = [
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\ufffd",
        "%",
        "null",
        "true",
        "-1",
        "0",
        "1.5",
        "1e400",
        "NaN",
        "Infinity",
        "9" * 30,
        "9" * 5_000,
    ),
    *(
        "\u0661",
        "\U0001f4a5" * 300,
        LONG,
        "\r\n\t",
        "'; DROP TABLE users; --",
        "<script>",
        "{",
        "[]",
        '"x"',
        '{"a": NaN}',
        *DEEP,
    ),
    *('{"a": 1e400}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', "2026-02-30", "a@b", "\u202e", "../..", "{{ 1 }}", "#1"),
]


class TestCreate:
    async def test_a_product_is_created_once_although_its_form_is_sent_twice(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Audio")
        fields = fields_of(await admin.open("/products/new"))
        fields |= {"body.name": "Radio", "body.sku": "r-1", "body.price": "79.99", "body.stock_quantity": "5"}
        fields |= {"body.category_id": str(category.id), "body.attributes": '{"colour": "black"}'}

        first, second = [await admin.post("/admin/products/new", data=fields) for _ in range(2)]

        assert first.status_code == second.status_code == 303
        (product,) = (await session.exec(select(Product))).all()
        assert (
            first.headers["location"]
            == second.headers["location"]
            == f"/admin/products/{product.id}?done=create_product"
        )
        assert (product.sku, product.price, product.stock_quantity) == ("R-1", Decimal("79.99"), 5)
        assert (product.is_active, product.category_id, product.attributes) == (True, category.id, {"colour": "black"})
        assert "Create product: done." in words_of((await admin.get(first.headers["location"])).text)

    async def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(self, admin: Browser) -> None:
        refused = await admin.submit(
            "/products/new", name="", sku="a b", price="-1", stock_quantity="many", attributes="{"
        )
        assert refused.status_code == 422
        assert 'value="a b"' in refused.text
        assert "is not valid JSON" in refused.text  # before the API is asked

        refused = await admin.submit("/products/new", name="", sku="a b", price="-1", stock_quantity="many")
        assert refused.status_code == 422
        for message in ("at least 1 character", "must consist of the letters A to Z", "must be a number such as 79.99"):
            assert message in words_of(refused.text)
        assert refused.text.count('aria-invalid="true"') == 4
        assert 'value="many"' in refused.text

    async def test_a_value_that_is_taken_is_named_at_its_field(self, admin: Browser, session: AsyncSession) -> None:
        await a_product(session, "Radio", sku="R-1")
        refused = await admin.submit("/products/new", name="Other", sku="r-1", price="1")
        assert refused.status_code == 409
        assert "A product with this sku already exists." in words_of(refused.text)
        assert refused.text.count('aria-invalid="true"') == 1

    async def test_a_refused_form_can_be_corrected_and_sent_again(self, admin: Browser, session: AsyncSession) -> None:
        await a_product(session, "Radio", sku="R-1")
        refused = await admin.submit("/products/new", name="Other", sku="r-1", price="1")
        corrected = {**fields_of(refused.text), "body.sku": "r-2"}
        assert (await admin.post("/admin/products/new", data=corrected)).status_code == 303

    async def test_a_user_is_created_and_the_password_is_never_shown_again(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        new: dict[str, Any] = {"username": "carla", "email": "carla@example.com"}
        refused = await admin.submit("/users/new", **new, password="weak")
        assert refused.status_code == 422
        assert 'value="weak"' not in refused.text
        assert (await admin.submit("/users/new", **new, password="SecurePass123")).status_code == 303
        assert (await session.exec(select(User).where(User.username == "carla"))).one().is_superuser is False

    async def test_an_order_is_placed_for_a_customer_with_rows_that_are_named(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        customer = await a_user(session, "anna")
        radio, lamp = [await a_product(session, name, sku=name.upper(), stock_quantity=9) for name in ("Radio", "Lamp")]
        fields = fields_of(await admin.open("/orders/new"))
        fields |= {"body.user_id": "anna", "body.items.0.product_id": "radio", "body.items.0.quantity": "2"}
        fields |= {"body.items.2.product_id": str(lamp.id), "body.items.2.quantity": "1"}

        placed = await admin.post("/admin/orders/new", data=fields)

        assert placed.status_code == 303, words_of(placed.text)
        order = (await session.exec(select(Order))).one()
        lines = (await session.exec(select(OrderItem).order_by(col(OrderItem.product_id)))).all()
        assert order.user_id == customer.id
        assert [(each.product_id, each.quantity) for each in lines] == [(radio.id, 2), (lamp.id, 1)]

    async def test_what_is_wrong_with_a_line_stands_beside_it(self, admin: Browser, session: AsyncSession) -> None:
        radio = await a_product(session, "Radio", stock_quantity=1)
        fields = fields_of(await admin.open("/orders/new"))
        fields |= {"body.items.1.product_id": str(radio.id), "body.items.1.quantity": "0"}
        refused = await admin.post("/admin/orders/new", data=fields)
        assert refused.status_code == 422
        assert "Input should be greater than or equal to 1" in words_of(refused.text)
        short = await admin.post("/admin/orders/new", data={**fields, "body.items.1.quantity": "2"})
        assert short.status_code == 409
        assert "The stock of Radio" in words_of(short.text)

    @pytest.mark.parametrize(("text", "message"), [("lamp", "is not found"), ("radio", "fits more than one: Radio")])
    async def test_a_name_that_is_no_row_or_several_is_refused(
        self, admin: Browser, session: AsyncSession, text: str, message: str
    ) -> None:
        for number in (1, 2):
            await a_category(session, f"Radio {number}")
        refused = await admin.submit("/products/new", name="x", sku="x", price="1", category_id=text)
        assert refused.status_code == 422
        assert message in words_of(refused.text)


class TestEdit:
    async def test_only_what_was_changed_is_written(self, admin: Browser, session: AsyncSession) -> None:
        product = await a_product(session, "Radio", price="5.00", description="Two\nlines", stock_quantity=7)
        path = f"/products/{product.id}/edit"
        fields = fields_of(await admin.open(path))
        await session.exec(update(Product).where(col(Product.id) == product.id).values(stock_quantity=6))  # one is sold

        saved = await admin.post(f"/admin{path}", data={**fields, "body.price": "6.50"})

        assert saved.headers["location"] == f"/admin/products/{product.id}?done=update_product"
        await session.refresh(product)
        assert (product.name, product.price, product.stock_quantity) == ("Radio", Decimal("6.50"), 6)
        assert product.description == "Two\nlines"

    async def test_rows_that_are_named_by_texts_are_found_together(
        self, admin: Browser, session: AsyncSession, database: Database
    ) -> None:
        """A line each, and no statement each; what stands in two lines is looked for once."""
        products = [await a_product(session, f"Part {number}", sku=f"PART-{number}") for number in range(110)]

        async def statements(lines: int) -> int:
            fields = {f"body.items.{n}.product_id": products[n].sku.lower() for n in range(lines)}
            fields |= {f"body.items.{n}.quantity": "0" for n in range(lines)}  # is refused, so the labels are shown
            with count_statements(database) as sent:
                refused = await admin.post("/admin/orders/new", data=fields)
            assert refused.status_code == 422
            assert f'value="{products[lines - 1].id}"' in refused.text
            return len(sent)

        few = await statements(2)
        assert await statements(20) == few

    async def test_a_form_without_a_change_changes_nothing(self, admin: Browser, session: AsyncSession) -> None:
        post = await a_post(session, tags=[await a_tag(session, slug="news")], content="Three\r\nlines\n\n")
        before = post.updated_at
        assert (await admin.submit(f"/posts/{post.id}/edit")).status_code == 303
        await session.refresh(post)
        assert post.updated_at == before
        assert post.view_count == 0, "opening a post to edit it was counted as a view"

    async def test_fields_are_cleared_ticked_and_chosen(self, admin: Browser, session: AsyncSession) -> None:
        audio = await a_category(session, "Audio")
        product = await a_product(session, description="x", category=audio)
        cleared = await admin.submit(f"/products/{product.id}/edit", description="", category_id="", is_active="false")
        assert cleared.status_code == 303
        await session.refresh(product)
        assert (product.description, product.category_id, product.is_active) == (None, None, False)

        await a_tag(session, slug="news")
        post = await a_post(session)
        assert (await admin.submit(f"/posts/{post.id}/edit", tags="news", status="archived")).status_code == 303
        assert 'value="news"' in await admin.open(f"/posts/{post.id}/edit")

    async def test_the_stock_has_no_field_and_is_not_written(self, admin: Browser, session: AsyncSession) -> None:
        product = await a_product(session, stock_quantity=7)
        fields = fields_of(await admin.open(f"/products/{product.id}/edit"))
        assert "body.stock_quantity" not in fields
        sent = {**fields, "body.stock_quantity": "1000", "body.id": "5"}
        assert (await admin.post(f"/admin/products/{product.id}/edit", data=sent)).status_code == 303
        await session.refresh(product)
        assert product.stock_quantity == 7

    async def test_a_rule_of_the_shop_is_a_message(self, admin: Browser, session: AsyncSession, staff: User) -> None:
        refused = await admin.submit(f"/users/{staff.id}/edit", is_superuser="false")
        assert refused.status_code == 409
        assert "The last active staff user cannot be" in words_of(refused.text)
        category = await a_category(session)
        refused = await admin.submit(f"/categories/{category.id}/edit", parent_id=str(category.id))
        assert refused.status_code in (409, 422)

    async def test_what_has_rules_has_no_form(self, admin: Browser, session: AsyncSession) -> None:
        order = await an_order(session)
        for path in (f"/orders/{order.id}/edit", f"/orders/{order.id}/delete", "/payments/new", "/accounts/1/edit"):
            await admin.open(path, 404)
            assert (await admin.post(f"/admin{path}", data={"body.status": "shipped"})).status_code == 404

    async def test_a_row_that_is_gone_is_a_page(self, admin: Browser, session: AsyncSession) -> None:
        product = await a_product(session, "Radio")
        fields = fields_of(await admin.open(f"/products/{product.id}/edit"))
        await session.exec(delete(Product).where(col(Product.id) == product.id))
        gone = await admin.post(f"/admin/products/{product.id}/edit", data={**fields, "body.name": "x"})
        assert gone.status_code == 404
        assert "There is no such product." in words_of(gone.text)


class TestDelete:
    async def test_what_nothing_refers_to_is_deleted_and_what_was_ordered_stays(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        unused, sold = await a_product(session), await a_product(session, price="1.00")
        await an_order(session, None, (sold, 1))
        asked = words_of(await admin.open(f"/products/{unused.id}/delete"))
        assert "A product that was ordered is deactivated instead." in asked

        assert (await admin.submit(f"/products/{unused.id}/delete")).headers[
            "location"
        ] == "/admin/products?done=delete_product"
        kept = await admin.submit(f"/products/{sold.id}/delete")

        assert kept.headers["location"] == f"/admin/products/{sold.id}?done=delete_product"
        assert await session.get(Product, unused.id) is None
        await session.refresh(sold)
        assert not sold.is_active

    async def test_a_user_is_erased(self, admin: Browser, session: AsyncSession) -> None:
        user = await a_user(session, "anna")
        await an_order(session, user)
        assert (await admin.submit(f"/users/{user.id}/delete")).status_code == 303
        await admin.open(f"/users/{user.id}", 404)


class TestPages:
    async def test_forms_cost_as_many_statements_for_many_rows(
        self, admin: Browser, session: AsyncSession, database: Database
    ) -> None:
        product, post = await a_product(session, category=await a_category(session)), await a_post(session)
        paths = ["/products/new", f"/products/{product.id}/edit", f"/posts/{post.id}/edit", "/orders/new"]
        await admin.open("")
        with count_statements(database) as few:
            for path in paths:
                await admin.open(path)
        for _ in range(3):
            await a_category(session)
            await an_order(session)
            await a_tag(session)
        with count_statements(database) as many:
            for path in paths:
                await admin.open(path)
        assert len(many) == len(few)

    async def test_many_rows_are_looked_for_and_few_are_offered(self, admin: Browser, session: AsyncSession) -> None:
        product = await a_product(session, category=await a_category(session, "Lamps"))
        assert "<select" in (await admin.open("/products/new")).partition('name="body.category_id"')[0][-200:]
        session.add_all(Category(name=f"Shelf {number}", slug=f"shelf-{number}") for number in range(101))
        await session.flush()

        html = await admin.open(f"/products/{product.id}/edit")

        assert 'data-suggest="/admin/categories/suggest"' in html
        assert "Lamps" in html
        suggested = (await admin.get("/admin/categories/suggest?search=shelf%201")).json()
        assert len(suggested) == 10
        assert suggested[0]["label"].startswith("Shelf 1")


@pytest.mark.hostile
@pytest.mark.parametrize("path", ["/users/new", "/orders/new", "/products/{}/edit"])
async def test_hostile_forms_are_refused_or_taken_whole(
    admin: Browser, session: AsyncSession, database: Database, path: str
) -> None:
    row = await (a_category(session, "Audio") if "categories" in path else a_product(session, "Radio"))
    path = path.format(row.id)
    opened = fields_of(await admin.open(path))
    for name in [*opened, "body.items.0.product_id", "body.items.99.quantity", "was:body.name", "nothing"]:
        for text in TYPED:
            response = await admin.post(f"/admin{path}", data={**opened, name: text})
            assert response.status_code in (303, 409, 413, 422), (name, text[:50], words_of(response.text)[:300])
            assert SECRET not in response.text
    for body in (
        b"%",
        b"%zz=%FF",
        b"&&&=",
        b"a" * 10_000,
        b"&".join(b"a%d=1" % each for each in range(3_000)),
        b"\xff\xfe",
    ):
        sent = await admin.post(
            f"/admin{path}", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert sent.status_code in (303, 400, 422)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}, 415),
    ],
    ids=str,
)
async def test_what_is_no_form_is_refused(admin: Browser, headers: dict[str, str], status: int) -> None:
    refused = await admin.post("/admin/products/new", content=b"{}", headers=headers)
    assert refused.status_code == status
    assert "<h1>" in refused.text


async def test_a_form_that_is_too_long_is_refused(admin: Browser) -> None:
    refused = await admin.post("/admin/posts/new", data={"body.content": "x" * 1_100_000})
    assert refused.status_code == 413
    assert "<h1>Content Too Large</h1>" in refused.text
    assert "default-src 'none'" in refused.headers["content-security-policy"]
