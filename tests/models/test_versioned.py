"""Versions rise with what people edit, however it is written, and with nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.sessions import Database
from api.database.statements import Statement
from api.models.category import Category
from api.models.post import Post
from api.models.product import Product
from api.models.user import User
from api.models.versioned import Versioned
from tests.factories import a_category, a_post, a_product, a_tag, a_user, an_order, order_body
from tests.support import PASSWORD

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def version(session: AsyncSession, row: Any) -> int:
    stored: Versioned | None = await session.get(type(row), row.id)
    assert stored is not None
    return stored.version


class TestWhatASessionFlushes:
    async def test_a_row_begins_with_version_1_and_an_edit_raises_it_by_one(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        created = await as_staff.post("/tags", json={"name": "Vinyl"})
        edited = await as_staff.patch(f"/tags/{created.json()['id']}", json={"name": "Records", "slug": "records"})
        assert [each.headers["ETag"].partition("-")[0] for each in (created, edited)] == ['"1', '"2']

    async def test_an_edit_that_changes_nothing_raises_no_version(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="10.00", attributes={"colour": "black"})
        same = {"name": product.name, "price": 10, "attributes": {"colour": "black"}, "is_active": True}
        assert (await as_staff.patch(f"/products/{product.id}", json=same)).status_code == 200
        assert await version(session, product) == 1

    async def test_a_row_that_was_changed_meanwhile_is_not_overwritten_but_read_again(
        self, database: Database, session: AsyncSession
    ) -> None:
        """Without a lock too: the UPDATE names the version that was read."""
        category = await a_category(session, "Audio")
        async with database.writes() as other:
            mine = await other.get(Category, category.id)
            assert mine is not None
            other.expunge(mine)  # as it was read
            await other.rollback()
            async with database.transaction() as session_of_another:
                theirs = await session_of_another.get(Category, category.id)
                assert theirs is not None
                theirs.description = "Loud."
            other.add(mine)
            mine.name = "Sound"
            with pytest.raises(Exception, match="expected to update 1 row"):
                await other.flush()
            await other.rollback()
        stored = await session.get(Category, category.id)
        assert stored is not None
        assert (stored.name, stored.description, stored.version) == ("Audio", "Loud.", 2)


class TestStatements:
    async def test_an_update_of_a_session_raises_the_versions_of_its_rows_alone(
        self, database: Database, session: AsyncSession
    ) -> None:
        product, other = await a_product(session), await a_product(session)
        async with database.transaction() as writes:
            await writes.exec(update(Product).where(col(Product.id) == product.id).values(is_active=False))
            await writes.exec(update(Product).values(stock_quantity=Product.stock_quantity))
        assert (await version(session, product), await version(session, other)) == (2, 1)

    async def test_a_compiled_update_raises_versions_too(self, database: Database, session: AsyncSession) -> None:
        product = await a_product(session)
        this = update(Product).where(col(Product.id) == product.id)
        of_table = update(Product.__table__).where(col(Product.id) == product.id)  # type: ignore[attr-defined]
        async with database.transaction() as writes:
            driver = await driver_of(writes)
            for statement in (this, of_table):
                renamed = statement.values(name="Radio", updated_at=product.updated_at)
                await driver.execute(Statement(renamed, recorded=True))
            sold_out = this.values(stock_quantity=0, updated_at=product.updated_at)
            await driver.execute(Statement(sold_out, recorded=True))
        assert await version(session, product) == 3


class TestWhatTheShopChangesByItself:
    async def test_sales_stock_views_and_sign_ins_raise_no_version(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product, post = await a_product(session, stock_quantity=5), await a_post(session)
        order = (await as_customer.post("/orders", json=order_body((product, 2)))).json()
        assert (await as_customer.post(f"/orders/{order['id']}/cancel")).status_code == 200
        movement = {"delta": 3, "reason": "Delivery"}
        assert (await as_staff.post(f"/products/{product.id}/stock", json=movement)).status_code == 201
        await as_customer.get(f"/posts/{post.id}")
        await as_customer.post("/auth/token", data={"username": customer.username, "password": PASSWORD})

        assert [await version(session, each) for each in (product, post, customer)] == [1, 1, 1]
        viewed = await session.get(Post, post.id)
        assert viewed is not None
        assert viewed.view_count == 1


class TestWhatPeopleEditElsewhere:
    async def test_other_tags_are_an_edit_of_a_post_and_the_same_tags_are_none(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        tags = [await a_tag(session) for _ in range(2)]
        post = await a_post(session, tags=tags[:1])
        versions = []
        for slugs in ([tags[0].slug], [each.slug for each in tags], [tags[1].slug, tags[0].slug], []):
            response = await as_staff.patch(f"/posts/{post.id}", json={"tags": slugs})
            assert response.status_code == 200
            versions.append(await version(session, post))
        assert versions == [1, 2, 2, 3]
        both = {"title": "Another", "tags": [tags[0].slug]}  # one edit
        await as_staff.patch(f"/posts/{post.id}", json=both)
        assert await version(session, post) == 4

    async def test_a_deleted_category_is_an_edit_of_its_children_and_products(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        parent = await a_category(session)
        child, product = await a_category(session, "", parent), await a_product(session, category=parent)
        other = await a_category(session)
        assert (await as_staff.delete(f"/categories/{parent.id}")).status_code == 204
        assert [await version(session, each) for each in (child, product, other)] == [2, 2, 1]

    async def test_deactivating_a_product_that_was_ordered_is_an_edit_once(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=1)
        await an_order(session, customer, (product, 1))
        for _ in range(2):
            assert (await as_staff.delete(f"/products/{product.id}")).status_code == 204
        assert await version(session, product) == 2

    @pytest.mark.parametrize(
        ("method", "path"),
        [("DELETE", "/users/{id}/soft"), ("PATCH", "/users/bulk/deactivate?days=1"), ("DELETE", "/users/{id}")],
    )
    async def test_deactivating_and_erasing_a_user_are_edits(
        self, as_staff: AsyncClient, session: AsyncSession, method: str, path: str
    ) -> None:
        user = await a_user(session, created_at=LONG_AGO)
        product = await a_product(session, stock_quantity=1)
        await an_order(session, user, (product, 1), created_at=LONG_AGO)
        before = await version(session, user)
        assert (await as_staff.request(method, path.format(id=user.id))).is_success
        assert await version(session, user) == before + 1
