"""Counts of products: exact after whatever happens to a product, and touched by no sale."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy.dialects import registry
from sqlmodel import and_, col, delete, func, not_, or_, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.models.product import Product
from api.models.user import User
from api.reads.counts import row_count
from tests.factories import a_category, a_product, an_order, order_body

only_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


async def counts(session: AsyncSession) -> list[tuple[Any, ...]]:
    """What the triggers have counted."""
    statement = "SELECT category_id, is_active, number FROM product_counts WHERE number <> 0 ORDER BY 1, 2"
    return [tuple(row) for row in (await (await session.connection()).execute(text(statement))).all()]


async def truth(session: AsyncSession) -> list[tuple[Any, ...]]:
    category: Any = func.coalesce(col(Product.category_id), 0)
    groups = select(category, Product.is_active, func.count()).group_by(category, col(Product.is_active))
    return sorted(tuple(row) for row in (await (await session.connection()).execute(groups)).all())


@only_postgresql
class TestCounts:
    async def test_the_counts_are_exact_after_whatever_happens_to_a_product(
        self, as_staff: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        one, other = await a_category(session), await a_category(session)

        async def check() -> None:
            assert await counts(session) == await truth(session)

        first = {"name": "A", "price": 1, "sku": "A-1", "category_id": one.id, "stock_quantity": 5}
        product_id = (await as_staff.post("/products", json=first)).json()["id"]
        await check()
        bulk = [{"name": f"B {n}", "price": 1, "sku": f"B-{n}", "category_id": (one.id, None)[n % 2]} for n in range(9)]
        assert (await as_staff.post("/products/bulk", json=bulk)).status_code == 201
        await check()
        for change in ({"category_id": other.id}, {"is_active": False}, {"category_id": None, "is_active": True}):
            assert (await as_staff.patch(f"/products/{product_id}", json=change)).status_code == 200
            await check()
        ordered = await a_product(session, stock_quantity=1, category_id=one.id)
        await an_order(session, customer, (ordered, 1))
        for each in (product_id, ordered.id):  # the second is deactivated
            assert (await as_staff.delete(f"/products/{each}")).status_code == 204
            await check()
        assert (await as_staff.delete(f"/categories/{one.id}")).status_code == 204
        await check()
        await session.exec(delete(Product).where(col(Product.id) != ordered.id))
        await check()
        await (await session.connection()).execute(text("TRUNCATE products CASCADE"))
        await check()
        assert await counts(session) == []

    async def test_a_refused_write_is_not_counted(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_product(session, sku="A-1")
        two = [{"name": name, "price": 1, "sku": name} for name in ("B-1", "A-1")]
        assert (await as_staff.post("/products/bulk", json=two)).status_code == 409
        assert await counts(session) == await truth(session)

    async def test_simultaneous_writes_are_all_counted(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        one, other = await a_category(session), await a_category(session)
        products = [await a_product(session, category_id=one.id) for _ in range(20)]

        async def move(product: Product, number: int) -> None:
            changes = [{"category_id": other.id}, {"is_active": False}, {"category_id": one.id}, {"is_active": True}]
            for change in changes[number % 4 :] + changes[: number % 4]:
                assert (await as_staff.patch(f"/products/{product.id}", json=change)).status_code == 200

        await asyncio.gather(*(move(product, number) for number, product in enumerate(products)))
        assert await counts(session) == await truth(session)

    async def test_selling_and_restocking_do_not_touch_the_counts(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=1)
        before = (await (await session.connection()).execute(text("SELECT xmin FROM product_counts"))).all()

        order = (await as_customer.post("/orders", json=order_body((product, 1)))).json()
        await as_customer.post(f"/orders/{order['id']}/cancel")
        await as_staff.post(f"/products/{product.id}/stock", json={"delta": 5, "reason": "Found."})

        assert (await (await session.connection()).execute(text("SELECT xmin FROM product_counts"))).all() == before


class TestTotals:
    @pytest.mark.parametrize(
        "filters",
        [{}, {"category_id": True}, {"min_price": 3}, {"in_stock": True}, {"search": "odd"}, {"is_active": True}],
    )
    @pytest.mark.parametrize("inactive", [False, True])
    async def test_the_total_is_the_number_of_rows(
        self, as_staff: AsyncClient, client: AsyncClient, session: AsyncSession, filters: dict[str, Any], inactive: bool
    ) -> None:
        category = await a_category(session)
        for n in range(12):
            await a_product(
                session,
                f"{'even' if n % 2 == 0 else 'odd'} {n}",
                price=Decimal(n + 1),
                category_id=category.id if n % 3 else None,
                stock_quantity=n % 4,
                is_active=n % 5 != 0,
            )
        params = {**filters, **({"category_id": category.id} if "category_id" in filters else {})}

        page = (await (as_staff if inactive else client).get("/products", params={"page_size": 100, **params})).json()
        beyond = (await (as_staff if inactive else client).get("/products", params={"page": 99, **params})).json()

        assert page["total"] == beyond["total"] == len(page["items"]) > 0

    def test_a_filter_that_the_counts_do_not_have_is_counted(self) -> None:
        """What has no category is counted under 0, which `IS NULL` does not find, and `<` and `!=` do."""
        active, category = select(Product).where(col(Product.is_active)), col(Product.category_id)
        ids = select(col(Category.id)).where(col(Category.parent_id) < 7)
        counted = [active, active.where(category == 7), select(Product), active.where(category.in_([7, 8]))]
        counted += [active.where(category.in_(ids)), active.where(or_(category == 7, category == 8))]
        counted += [select(Product).where(not_(col(Product.is_active)))]
        others = [active.where(Product.price == 7), active.where(category.is_(None))]
        others += [active.where(each) for each in (category != 7, category < 7, category.not_in([7]))]
        others += [
            active.where(not_(and_(category == 7, category == 8))),
            active.where(func.coalesce(category, 7) == 7),
        ]
        others += [active.where(category.is_distinct_from(7)), active.where(or_(category == 7, category < 7))]
        on_postgresql, on_sqlite = registry.load("postgresql")(), registry.load("sqlite")()
        for statement in counted:
            assert "product_counts" in str(row_count(statement, on_postgresql))
            assert "product_counts" not in str(row_count(statement, on_sqlite))
        for statement in others:
            assert "product_counts" not in str(row_count(statement, on_postgresql))
