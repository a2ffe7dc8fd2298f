"""/products/{id}/stock and /movements: no unit comes or goes without a movement that says why."""

import asyncio
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import MAX_STOCK, Product
from api.models.stock_movement import StockMovement, StockReason
from api.models.types import MAX_ID
from api.models.user import User
from tests.support import assert_refused, count_statements

numbers = count(1)


async def a_product(as_staff: AsyncClient, stock: int = 0) -> int:
    number = next(numbers)
    sent = {"name": f"Product {number}", "sku": f"P-{number}", "price": "9.99", "stock_quantity": stock}
    product_id: int = (await as_staff.post("/products", json=sent)).json()["id"]
    return product_id


async def stock_of(session: AsyncSession, product_id: int) -> int:
    return (await session.exec(select(Product.stock_quantity).where(Product.id == product_id))).one()


async def deltas(session: AsyncSession, product_id: int) -> list[int]:
    of_product = select(StockMovement.delta).where(StockMovement.product_id == product_id)
    return list((await session.exec(of_product.order_by(col(StockMovement.id)))).all())


async def assert_stock_equals_movements(session: AsyncSession) -> None:
    moved = func.coalesce(func.sum(StockMovement.delta), 0)
    statement = (
        select(Product.id, Product.stock_quantity, moved)
        .outerjoin(StockMovement, col(StockMovement.product_id) == col(Product.id))
        .group_by(col(Product.id), col(Product.stock_quantity))
    )
    rows = (await session.exec(statement)).all()
    assert rows
    assert [(each, stock) for each, stock, _ in rows] == [(each, int(total)) for each, _, total in rows]


class TestChangeStock:
    async def test_staff_add_and_take_units(self, as_staff: AsyncClient, staff: User, session: AsyncSession) -> None:
        product_id = await a_product(as_staff, 10)

        for delta, left in ((25, 35), (-30, 5), (-5, 0), (1, 1)):
            response = await as_staff.post(
                f"/products/{product_id}/stock", json={"delta": delta, "reason": " Counted again "}
            )
            assert response.status_code == 201
            body = response.json()
            assert (body["product_id"], body["delta"], body["reason"]) == (product_id, delta, "adjustment")
            assert (body["note"], body["user_id"], body["order_id"]) == ("Counted again", staff.id, None)
            movement = await session.get(StockMovement, body["id"])
            assert movement is not None
            assert (movement.delta, movement.note, movement.user_id) == (delta, "Counted again", staff.id)
            assert await stock_of(session, product_id) == left

        assert await deltas(session, product_id) == [10, 25, -30, -5, 1]

    @pytest.mark.parametrize(("stock", "delta"), [(0, -1), (10, -11), (10, -MAX_STOCK), (MAX_STOCK, 1), (1, MAX_STOCK)])
    async def test_the_stock_stays_within_its_bounds(
        self, as_staff: AsyncClient, session: AsyncSession, stock: int, delta: int
    ) -> None:
        product_id = await a_product(as_staff, stock)

        response = await as_staff.post(f"/products/{product_id}/stock", json={"delta": delta, "reason": "Counted"})

        assert_refused(response, 409, "stock would fall below zero or rise beyond")
        assert await stock_of(session, product_id) == stock
        assert sum(await deltas(session, product_id)) == stock

    @pytest.mark.parametrize(("stock", "delta"), [(0, MAX_STOCK), (MAX_STOCK, -MAX_STOCK)])
    async def test_the_bounds_themselves_are_reached(
        self, as_staff: AsyncClient, session: AsyncSession, stock: int, delta: int
    ) -> None:
        product_id = await a_product(as_staff, stock)

        response = await as_staff.post(f"/products/{product_id}/stock", json={"delta": delta, "reason": "Counted"})

        assert response.status_code == 201
        assert await stock_of(session, product_id) == stock + delta

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("delta", 0),
            ("delta", None),
            ("delta", 1.5),
            ("delta", "many"),
            ("delta", MAX_STOCK + 1),
            ("delta", -MAX_STOCK - 1),
            ("delta", 10**30),
            ("reason", None),
            ("reason", ""),
            ("reason", "  "),
            ("reason", "x" * 201),
            ("reason", "a\0b"),
            ("reason", 1),
            ("product_id", 1),
            ("user_id", 1),
            ("note", "x"),
        ],
        ids=lambda value: ascii(value)[:30],
    )
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        product_id = await a_product(as_staff, 10)

        response = await as_staff.post(
            f"/products/{product_id}/stock", json={"delta": 1, "reason": "Counted", field: value}
        )

        assert_refused(response, 422, f"body.{field}")
        assert await stock_of(session, product_id) == 10
        assert await deltas(session, product_id) == [10]

    @pytest.mark.parametrize("field", ["delta", "reason"])
    async def test_both_fields_must_be_there(self, as_staff: AsyncClient, field: str) -> None:
        product_id = await a_product(as_staff, 10)
        sent = {"delta": 1, "reason": "Counted"}
        del sent[field]

        assert_refused(await as_staff.post(f"/products/{product_id}/stock", json=sent), 422, f"body.{field}")

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product_id = await a_product(as_staff, 10)
        sent = {"delta": 1, "reason": "Mine"}

        assert_refused(await client.post(f"/products/{product_id}/stock", json=sent), 401)
        assert_refused(await as_customer.post(f"/products/{product_id}/stock", json=sent), 403)
        assert await stock_of(session, product_id) == 10

    @pytest.mark.parametrize("product_id", [1_000_000, MAX_ID])
    async def test_of_a_product_that_does_not_exist_is_not_found(self, as_staff: AsyncClient, product_id: int) -> None:
        response = await as_staff.post(f"/products/{product_id}/stock", json={"delta": 1, "reason": "Counted"})

        assert_refused(response, 404, "no such product")

    async def test_of_an_inactive_product_is_fine(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        product_id = await a_product(as_staff, 10)
        await as_staff.patch(f"/products/{product_id}", json={"is_active": False})

        response = await as_staff.post(f"/products/{product_id}/stock", json={"delta": -10, "reason": "Scrapped"})

        assert response.status_code == 201
        assert await stock_of(session, product_id) == 0

    async def test_the_same_key_changes_it_once(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        product_id = await a_product(as_staff, 10)
        again = {"headers": {"Idempotency-Key": "delivery-12"}, "json": {"delta": 5, "reason": "Delivery"}}

        first, second = [await as_staff.post(f"/products/{product_id}/stock", **again) for _ in range(2)]  # type: ignore[arg-type]

        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert second.headers["Idempotent-Replayed"] == "true"
        assert await deltas(session, product_id) == [10, 5]

    async def test_many_at_once_take_exactly_what_is_there(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        product_id = await a_product(as_staff, 10)
        sent = {"delta": -1, "reason": "Counted"}

        responses = await asyncio.gather(
            *(as_staff.post(f"/products/{product_id}/stock", json=sent) for _ in range(16))
        )

        assert sorted(response.status_code for response in responses) == [201] * 10 + [409] * 6
        assert await stock_of(session, product_id) == 0
        assert await deltas(session, product_id) == [10] + [-1] * 10

    async def test_many_up_and_down_at_once_lose_none(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        product_id = await a_product(as_staff, 100)

        responses = await asyncio.gather(
            *(
                as_staff.post(f"/products/{product_id}/stock", json={"delta": delta, "reason": "Counted"})
                for delta in [3, -2] * 10
            )
        )

        assert {response.status_code for response in responses} == {201}
        assert await stock_of(session, product_id) == 110
        await assert_stock_equals_movements(session)


class TestListMovements:
    async def test_staff_read_the_latest_first(self, as_staff: AsyncClient, staff: User) -> None:
        product_id, other = await a_product(as_staff, 10), await a_product(as_staff, 3)
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
        assert (await as_staff.get(f"/products/{other}/movements")).json()["total"] == 1

    async def test_a_product_without_stock_never_had_any(self, as_staff: AsyncClient) -> None:
        product_id = await a_product(as_staff, 0)

        assert (await as_staff.get(f"/products/{product_id}/movements")).json()["items"] == []

    async def test_walking_by_cursor_shows_each_exactly_once(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product_id = await a_product(as_staff, 1)
        for delta in range(2, 8):
            await as_staff.post(f"/products/{product_id}/stock", json={"delta": delta, "reason": "Delivery"})
        walked: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            params: dict[str, Any] = {"cursor": cursor, "page_size": 3}
            answer = (await as_staff.get(f"/products/{product_id}/movements", params=params)).json()
            walked += [each["delta"] for each in answer["items"]]
            cursor = answer["next_cursor"]

        assert walked == [7, 6, 5, 4, 3, 2, 1]

    async def test_nobody_but_staff_reads_them(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient
    ) -> None:
        product_id = await a_product(as_staff, 10)

        assert_refused(await client.get(f"/products/{product_id}/movements"), 401)
        assert_refused(await as_customer.get(f"/products/{product_id}/movements"), 403)

    async def test_of_a_product_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.get("/products/1000000/movements"), 404, "no such product")
        assert_refused(await as_staff.get("/products/0/movements"), 422, "path.id")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_four_statements_whatever_the_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, staff: User, size: int
    ) -> None:
        product_id = await a_product(as_staff, 1)
        session.add_all(
            StockMovement(product_id=product_id, delta=1, reason=StockReason.ADJUSTMENT, user_id=staff.id)
            for _ in range(size - 1)
        )
        await session.flush()

        with count_statements(database) as statements:
            page = (await as_staff.get(f"/products/{product_id}/movements")).json()
        assert len(page["items"]) == size
        assert len(statements) == 4  # the token, the product, the count, the rows


class TestStockEqualsItsMovements:
    async def test_after_every_kind_of_change(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession, customer: User, staff: User
    ) -> None:
        first, second = await a_product(as_staff, 10), await a_product(as_staff, 20)
        items = [{"product_id": first, "quantity": 2}, {"product_id": second, "quantity": 3}]
        await assert_stock_equals_movements(session)

        await as_staff.post(f"/products/{first}/stock", json={"delta": 5, "reason": "Delivery"})
        await assert_stock_equals_movements(session)
        order = (await as_customer.post("/orders", json={"items": items})).json()
        await assert_stock_equals_movements(session)
        await as_customer.post("/orders", json={"items": [*items, {"product_id": second, "quantity": 10_000}]})
        await assert_stock_equals_movements(session)
        await as_staff.put(f"/products/{first}", json={"name": "New", "sku": "NEW", "price": 1})
        await as_staff.patch(f"/products/{second}", json={"is_active": False})
        await assert_stock_equals_movements(session)
        await as_staff.post(f"/orders/{order['id']}/cancel")
        await assert_stock_equals_movements(session)
        await as_staff.delete(f"/products/{first}")
        await assert_stock_equals_movements(session)

        movements = (await session.exec(select(StockMovement).order_by(col(StockMovement.id)))).all()
        assert [
            (each.product_id, each.delta, each.reason.value, each.order_id, each.user_id) for each in movements
        ] == [
            (first, 10, "initial", None, staff.id),
            (second, 20, "initial", None, staff.id),
            (first, 5, "adjustment", None, staff.id),
            (first, -2, "order", order["id"], customer.id),
            (second, -3, "order", order["id"], customer.id),
            (first, 2, "cancellation", order["id"], staff.id),
            (second, 3, "cancellation", order["id"], staff.id),
        ]
        assert (await stock_of(session, first), await stock_of(session, second)) == (15, 20)

    async def test_under_all_kinds_of_change_at_once(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        products = [await a_product(as_staff, 30) for _ in range(3)]

        async def order_and_cancel(turn: int) -> list[int]:
            items = [{"product_id": products[(turn + each) % 3], "quantity": 1 + each} for each in range(3)]
            placed = await as_customer.post("/orders", json={"items": items})
            if placed.status_code != 201 or turn % 2:
                return [placed.status_code]
            cancelled = await as_customer.post(f"/orders/{placed.json()['id']}/cancel")
            return [placed.status_code, cancelled.status_code]

        async def adjust(turn: int) -> list[int]:
            sent = {"delta": 2 if turn % 2 else -1, "reason": "Counted"}
            return [(await as_staff.post(f"/products/{products[turn % 3]}/stock", json=sent)).status_code]

        answers = await asyncio.gather(*(each(turn) for turn in range(10) for each in (order_and_cancel, adjust)))

        assert {status for each in answers for status in each} <= {200, 201, 409}
        await assert_stock_equals_movements(session)
