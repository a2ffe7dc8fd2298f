"""GET /products/{id}/movements: the stock movements of a product."""

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.user import User
from tests.factories import a_product, a_stock_movement
from tests.lists import walk
from tests.routes.products.support import product_body
from tests.support import assert_refused, count_statements


class TestListMovements:
    async def test_staff_can_list_the_movements_with_the_latest_first(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        sent = product_body(stock_quantity=10)
        product_id = (await as_staff.post("/products", json=sent)).json()["id"]
        other = await a_product(session, stock_quantity=3)
        for delta, reason in ((5, "Delivery"), (-2, "Broken")):
            await as_staff.post(f"/products/{product_id}/stock", json={"delta": delta, "reason": reason})

        page = (await as_staff.get(f"/products/{product_id}/movements")).json()

        assert page["total"] == 3
        assert [(each["delta"], each["reason"], each["note"]) for each in page["items"]] == [
            (-2, "adjustment", "Broken"),
            (5, "adjustment", "Delivery"),
            (10, "initial", None),
        ]
        assert {each["product_id"] for each in page["items"]} == {product_id}
        assert {each["user_id"] for each in page["items"]} == {staff.id}
        assert (await as_staff.get(f"/products/{other.id}/movements")).json()["total"] == 1

    async def test_a_product_that_never_had_stock_has_no_movements(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=0)

        assert (await as_staff.get(f"/products/{product.id}/movements")).json()["items"] == []

    async def test_the_cursor_lists_every_movement_exactly_once(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=1)
        for delta in range(2, 8):
            await as_staff.post(f"/products/{product.id}/stock", json={"delta": delta, "reason": "Delivery"})

        listed = await walk(as_staff, f"/products/{product.id}/movements", page_size=3)

        assert [each["delta"] for each in listed] == [7, 6, 5, 4, 3, 2, 1]

    async def test_only_staff_can_list_movements(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)

        assert_refused(await client.get(f"/products/{product.id}/movements"), 401)
        assert_refused(await as_customer.get(f"/products/{product.id}/movements"), 403)

    async def test_the_movements_of_a_product_that_does_not_exist_are_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.get("/products/1000000/movements"), 404, "no such product")
        assert_refused(await as_staff.get("/products/0/movements"), 422, "path.id")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_page_costs_three_statements_whatever_its_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, staff: User, size: int
    ) -> None:
        product = await a_product(session, stock_quantity=1)
        for _ in range(size - 1):
            await a_stock_movement(session, product, 1, user_id=staff.id)

        with count_statements(database) as statements:
            page = (await as_staff.get(f"/products/{product.id}/movements")).json()
        assert len(page["items"]) == size
        assert len(statements) == 3  # the token, the product, the count, the rows
