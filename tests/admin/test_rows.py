"""The page of one row: all of its fields, links both ways, and what belongs to it."""

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.row_pages import FEW_RELATED
from api.database.sessions import Database
from api.models.user import User
from tests.admin.support import Browser, words_of
from tests.factories import a_category, a_payment, a_post, a_product, a_refund, a_tag, a_user, an_account, an_order
from tests.support import count_statements


class TestLinks:
    async def test_an_order_shows_its_customer_lines_payments_refunds_and_events(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        user = await a_user(session, "anna")
        product = await a_product(session, "Turntable", price="50.00")
        order = await an_order(session, user, (product, 2), shipping_address="1 Abbey Road")
        payment = await a_payment(session, order)
        refund = await a_refund(session, payment, "5.00", reason="Arrived scratched")

        html = await admin.open(f"/orders/{order.id}")

        words = words_of(html)
        for text in (order.order_number, "1 Abbey Road", "Turntable", "100.00", "Arrived scratched", "pending"):
            assert text in words
        for path in (
            f"/users/{user.id}",
            f"/products/{product.id}",
            f"/payments/{payment.id}",
            f"/refunds/{refund.id}",
        ):
            assert f'href="/admin{path}"' in html
        assert f'href="/admin/payments/{payment.id}/do/refund"' in html

    async def test_a_user_shows_orders_account_and_posts(self, admin: Browser, session: AsyncSession) -> None:
        user = await a_user(session, "anna", bio="Listens.")
        order, account = await an_order(session, user), await an_account(session, user, "25.00")
        post = await a_post(session, user, "Ten radios")
        html = await admin.open(f"/users/{user.id}")
        for path in (f"/orders/{order.id}", f"/accounts/{account.id}", f"/posts/{post.id}"):
            assert f'href="/admin{path}"' in html
        assert "Listens." in html
        assert "argon2" not in html

    async def test_a_product_shows_its_category_movements_and_orders(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Audio")
        product = await a_product(session, category=category, price="5.00", attributes={"colour": "black"})
        order = await an_order(session, None, (product, 1))
        html = await admin.open(f"/products/{product.id}")
        assert f'<a href="/admin/categories/{category.id}">Audio</a>' in html
        assert f'href="/admin/orders/{order.id}"' in html
        assert "Stock movements" in html
        assert "&#34;colour&#34;: &#34;black&#34;" in html
        assert f'href="/admin/products/{product.id}"' in await admin.open(f"/categories/{category.id}")

    async def test_a_post_shows_its_tags_and_a_tag_its_posts(self, admin: Browser, session: AsyncSession) -> None:
        tag = await a_tag(session, "News")
        post = await a_post(session, tags=[tag])
        assert f'href="/admin/tags/{tag.id}"' in await admin.open(f"/posts/{post.id}")
        assert f'href="/admin/posts/{post.id}"' in await admin.open(f"/tags/{tag.id}")

    async def test_of_many_rows_some_are_shown_and_a_link_leads_to_all(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        user = await a_user(session)
        for _ in range(FEW_RELATED + 1):
            await an_order(session, user)
        html = await admin.open(f"/users/{user.id}")
        assert f'href="/admin/orders?user_id={user.id}"' in html

    @pytest.mark.parametrize("row_id", ["0", "999", "9" * 19, "9" * 30, "9" * 5_000, "-1", "x", "1.0", "\u0661", "%00"])
    async def test_a_row_that_does_not_exist_is_a_page(self, admin: Browser, row_id: str) -> None:
        assert "There is no such" in words_of(await admin.open(f"/orders/{row_id}", 404))


@pytest.mark.parametrize("name", ["users", "orders", "products", "categories", "payments", "posts"])
async def test_a_row_costs_as_many_statements_whatever_belongs_to_it(
    admin: Browser, session: AsyncSession, database: Database, name: str
) -> None:
    category, user, tag = await a_category(session), await a_user(session), await a_tag(session)
    product = await a_product(session, category=category, price="9.00")
    order = await an_order(session, user, (product, 1))
    payment = await a_payment(session, order)
    post = await a_post(session, user)
    ids = {
        "users": user.id,
        "orders": order.id,
        "products": product.id,
        "categories": category.id,
        "payments": payment.id,
        "posts": post.id,
    }
    await admin.open("")
    with count_statements(database) as few:
        await admin.open(f"/{name}/{ids[name]}")
    for _ in range(3):
        await a_payment(session, await an_order(session, user, (product, 1)))
        await a_product(session, category=category)
        await a_refund(session, payment, "1.00")
        await a_post(session, user, tags=[tag])
    with count_statements(database) as many:
        await admin.open(f"/{name}/{ids[name]}")
    assert len(many) == len(few)


class TestTrail:
    async def test_a_row_shows_who_changed_which_field(
        self, admin: Browser, session: AsyncSession, staff: User
    ) -> None:
        product = await a_product(session, "Radio", price="5.00", stock_quantity=5)
        path = f"/products/{product.id}"
        assert (await admin.submit(f"{path}/edit", price="6.00")).status_code == 303
        assert (await admin.submit(f"{path}/do/adjust-the-stock", delta="-2", reason="Broken")).status_code == 303

        words = words_of(await admin.open(path))

        for text in ("price: 5.00 → 6.00", "stock_quantity: 5 → 3", staff.username):
            assert text in words
