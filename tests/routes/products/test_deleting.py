"""DELETE /products/{id}: deleting a product, or deactivating it once it was ordered."""

import asyncio

from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import Product
from api.models.stock_movement import StockMovement
from api.models.user import User
from tests.factories import a_product, an_order, order_body
from tests.routes.products.support import product_body, stored_skus
from tests.support import assert_refused


class TestDeleteProduct:
    async def test_a_product_that_was_never_ordered_is_deleted_with_its_movements(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product_id = (await as_staff.post("/products", json=product_body(stock_quantity=5))).json()["id"]

        response = await as_staff.delete(f"/products/{product_id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(Product, product_id) is None
        assert (await session.exec(select(StockMovement))).all() == []
        assert_refused(await as_staff.get(f"/products/{product_id}"), 404)
        assert_refused(await as_staff.delete(f"/products/{product_id}"), 404)

    async def test_a_product_that_was_ordered_is_only_deactivated(
        self, client: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        order = await an_order(session, customer, (product, 1))

        for _ in range(2):
            assert (await as_staff.delete(f"/products/{product.id}")).status_code == 204

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.is_active, stored.stock_quantity) == (False, 4)
        assert_refused(await client.get(f"/products/{product.id}"), 404)
        assert len((await as_staff.get(f"/orders/{order.id}")).json()["items"]) == 1

    async def test_a_product_that_was_deactivated_can_be_activated_again(
        self, client: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session)
        await an_order(session, customer, (product, 1))
        await as_staff.delete(f"/products/{product.id}")

        await as_staff.patch(f"/products/{product.id}", json={"is_active": True})

        assert (await client.get(f"/products/{product.id}")).status_code == 200

    async def test_a_product_that_is_ordered_at_the_same_time_is_deleted_or_deactivated(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(12):
            product = await a_product(session, stock_quantity=3)
            order = order_body((product, 1))

            ordered, deleted = await asyncio.gather(
                as_customer.post("/orders", json=order), as_staff.delete(f"/products/{product.id}")
            )

            assert deleted.status_code == 204
            stored = await session.get(Product, product.id)
            if ordered.status_code == 201:
                assert stored is not None
                assert (stored.is_active, stored.stock_quantity) == (False, 2)
            else:
                assert_refused(ordered, 422, "body.items")
                assert stored is None

    async def test_a_product_can_be_deleted_while_it_is_updated(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(10):
            product = await a_product(session)
            changed, deleted = await asyncio.gather(
                as_staff.patch(f"/products/{product.id}", json={"description": "New."}),
                as_staff.delete(f"/products/{product.id}"),
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}
        assert await stored_skus(session) == []

    async def test_only_staff_can_delete_a_product(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, sku="HERE")

        assert_refused(await client.delete(f"/products/{product.id}"), 401)
        assert_refused(await as_customer.delete(f"/products/{product.id}"), 403)
        assert await stored_skus(session) == ["HERE"]

    async def test_a_product_that_does_not_exist_cannot_be_deleted(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.delete("/products/1000000"), 404)
