"""/orders: placing takes the stock, cancelling gives it back, and what was ordered stays as it was."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import text
from sqlmodel import SQLModel, col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.notification import Notification, NotificationKind
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.models.payment import Payment
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.types import MAX_ID
from api.models.user import User
from tests.conftest import Connect
from tests.databases import Backend
from tests.support import assert_refused, count_statements, save
from tests.routes.accounts.test_accounts import an_account, balances, patience

numbers = count(1)

STATUSES = [status.value for status in OrderStatus]
LEGAL = {
    ("pending", "confirmed"),
    ("pending", "cancelled"),
    ("confirmed", "shipped"),
    ("confirmed", "cancelled"),
    ("shipped", "delivered"),
}
WAY_TO = {
    "pending": [],
    "confirmed": ["confirmed"],
    "shipped": ["confirmed", "shipped"],
    "delivered": ["confirmed", "shipped", "delivered"],
    "cancelled": ["cancelled"],
}
"""Through which statuses a new order gets to each."""


async def a_product(session: AsyncSession, name: str = "", stock: int = 0, **fields: Any) -> Product:
    """A product whose stock has its movement."""
    number = next(numbers)
    fields = {"slug": f"product-{number}", "sku": f"P-{number}", "price": Decimal("9.99"), **fields}
    product = Product(name=name or f"Product {number}", stock_quantity=stock, **fields)
    await save(session, product)
    if stock:
        await save(session, StockMovement(product_id=product.id, delta=stock, reason=StockReason.INITIAL))
    return product


def lines(*quantities: tuple[Product, int], **fields: Any) -> dict[str, Any]:
    items = [{"product_id": product.id, "quantity": quantity} for product, quantity in quantities]
    return {"items": items, **fields}


async def an_order(client: AsyncClient, *quantities: tuple[Product, int], **fields: Any) -> dict[str, Any]:
    response = await client.post("/orders", json=lines(*quantities, **fields))
    assert response.status_code == 201, response.text
    order: dict[str, Any] = response.json()
    return order


async def bring_to(as_staff: AsyncClient, order_id: int, status: str) -> None:
    for step in WAY_TO[status]:
        assert (await set_status(as_staff, order_id, step)).status_code == 200


async def set_status(client: AsyncClient, order_id: int, status: str) -> Response:
    return await client.patch(f"/orders/{order_id}/status", params={"new_status": status})


async def stock_of(session: AsyncSession, product: Product) -> int:
    return (await session.exec(select(Product.stock_quantity).where(Product.id == product.id))).one()


async def movements(session: AsyncSession, product: Product) -> list[tuple[int, str, int | None]]:
    of_product = select(StockMovement).where(StockMovement.product_id == product.id).order_by(col(StockMovement.id))
    return [(each.delta, each.reason.value, each.order_id) for each in (await session.exec(of_product)).all()]


async def assert_stock_equals_movements(session: AsyncSession) -> None:
    for product in (await session.exec(select(Product))).all():
        assert product.stock_quantity == sum(delta for delta, _, _ in await movements(session, product))


def left_when_refused(response: Response) -> int:
    """How many units there were, as a refusal says."""
    left = re.search(r"Only (\d+) of", response.json()["detail"])
    assert left is not None, response.text
    return int(left[1])


async def everything(session: AsyncSession) -> dict[str, Any]:
    """All rows of all tables."""
    connection = await session.connection()
    return {
        table.name: (await connection.execute(table.select().order_by(*table.primary_key))).all()
        for table in SQLModel.metadata.sorted_tables
    }


class TestPlaceOrder:
    async def test_a_customer_buys(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        headphones = await a_product(session, "Headphones", 10, sku="WH-001", price=Decimal("79.99"))
        cable = await a_product(session, "Cable", 5, sku="CA-002", price=Decimal("0.05"))

        order = await an_order(as_customer, (cable, 3), (headphones, 2), shipping_address=" 1 Abbey Road ")

        assert (order["user_id"], order["status"], order["shipping_address"]) == (
            customer.id,
            "pending",
            "1 Abbey Road",
        )
        assert (order["total_amount"], order["paid_amount"]) == ("160.13", "0.00")
        assert [{**item, "id": None} for item in order["items"]] == [
            {
                "id": None,
                "product_id": headphones.id,
                "product_name": "Headphones",
                "sku": "WH-001",
                "quantity": 2,
                "unit_price": "79.99",
                "total_price": "159.98",
            },
            {
                "id": None,
                "product_id": cable.id,
                "product_name": "Cable",
                "sku": "CA-002",
                "quantity": 3,
                "unit_price": "0.05",
                "total_price": "0.15",
            },
        ]
        assert (await as_customer.get(f"/orders/{order['id']}")).json() == order

    async def test_what_it_leaves_in_the_database(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=10)

        order = await an_order(as_customer, (product, 4))

        stored = await session.get(Order, order["id"])
        assert stored is not None
        assert (stored.user_id, stored.status, stored.total_amount) == (customer.id, "pending", Decimal("39.96"))
        (line,) = (await session.exec(select(OrderItem))).all()
        assert (line.order_id, line.product_id, line.quantity) == (order["id"], product.id, 4)
        assert (line.unit_price, line.total_price) == (Decimal("9.99"), Decimal("39.96"))
        assert await stock_of(session, product) == 6
        assert await movements(session, product) == [(10, "initial", None), (-4, "order", order["id"])]
        taken = (await session.exec(select(StockMovement).where(StockMovement.order_id == order["id"]))).one()
        assert taken.user_id == customer.id
        (event,) = (await session.exec(select(OrderEvent))).all()
        assert (event.order_id, event.from_status, event.to_status, event.user_id) == (
            order["id"],
            None,
            "pending",
            customer.id,
        )
        (notification,) = (await session.exec(select(Notification))).all()
        assert (notification.user_id, notification.order_id, notification.kind, notification.read_at) == (
            customer.id,
            order["id"],
            "order_placed",
            None,
        )
        assert order["order_number"] in notification.message

    async def test_equal_products_become_one_line(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        one, other = await a_product(session, stock=10), await a_product(session, stock=10)

        order = await an_order(as_customer, (one, 2), (other, 1), (one, 3))

        assert [(item["product_id"], item["quantity"]) for item in order["items"]] == [(one.id, 5), (other.id, 1)]
        assert order["total_amount"] == "59.94"
        assert await movements(session, one) == [(10, "initial", None), (-5, "order", order["id"])]

    async def test_equal_products_are_merged_before_the_stock_is_asked(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=4)

        response = await as_customer.post("/orders", json=lines((product, 3), (product, 2)))

        assert_refused(response, 409, "Only 4 of")
        assert await stock_of(session, product) == 4

    async def test_names_and_prices_stay_as_they_were(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Headphones", 10, sku="WH-001")
        order = await an_order(as_customer, (product, 2))

        changed = {"name": "Earphones", "sku": "EA-001", "price": "100.00", "is_active": False}
        assert (await as_staff.patch(f"/products/{product.id}", json=changed)).status_code == 200

        assert (await as_customer.get(f"/orders/{order['id']}")).json() == order
        (item,) = (await as_customer.get(f"/orders/{order['id']}/details")).json()["items"]
        assert (item["product_name"], item["sku"], item["unit_price"]) == ("Headphones", "WH-001", "9.99")
        assert (item["product"]["name"], item["product"]["sku"], item["product"]["price"]) == (
            "Earphones",
            "EA-001",
            "100.00",
        )

    async def test_the_stock_may_be_sold_out(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock=3)

        await an_order(as_customer, (product, 3))

        assert await stock_of(session, product) == 0

    async def test_order_numbers_are_random_and_unique(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock=100)

        ordered = [(await an_order(as_customer, (product, 1)))["order_number"] for _ in range(20)]

        assert len(set(ordered)) == 20
        assert all(re.fullmatch(r"ORD(-[0-9A-HJKMNP-TV-Z]{4}){3}", number) for number in ordered)
        assert sorted(ordered) != ordered

    async def test_nobody_buys_without_signing_in(self, client: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock=1)

        assert_refused(await client.post("/orders", json=lines((product, 1))), 401)
        assert await stock_of(session, product) == 1

    async def test_the_same_key_orders_once(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock=10)
        headers = {"Idempotency-Key": "order-1"}

        first, second = [await as_customer.post("/orders", json=lines((product, 2)), headers=headers) for _ in range(2)]

        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert second.headers["Idempotent-Replayed"] == "true"
        assert await stock_of(session, product) == 8
        assert len((await session.exec(select(Order))).all()) == 1

    @pytest.mark.parametrize("size", [1, 20])
    async def test_statements_grow_by_one_a_product_and_no_more(
        self, as_customer: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        """Each product has an UPDATE of its own; SQLite inserts row by row, which is no round trip there."""
        products = [await a_product(session, stock=5) for _ in range(size)]

        with count_statements(database) as statements:
            await an_order(as_customer, *((product, 1) for product in products))

        updates = [each for each in statements if each.startswith("UPDATE products")]
        inserts = [each for each in statements if each.startswith(("INSERT INTO order_items", "INSERT INTO stock_mov"))]
        assert len(updates) == size
        if database.engine.dialect.name != "sqlite":
            assert len(inserts) == 2
        # the token, the customer, the products, the order, its event, its notification
        assert len(statements) - len(updates) - len(inserts) == 6


class TestPlaceOrderForSomebodyElse:
    async def test_staff_do(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        staff: User,
        customer: User,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock=5)

        order = await an_order(as_staff, (product, 1), user_id=customer.id)

        assert order["user_id"] == customer.id
        assert (await as_customer.get(f"/orders/{order['id']}")).json() == order
        (event,) = (await session.exec(select(OrderEvent))).all()
        assert event.user_id == staff.id
        taken = (await session.exec(select(StockMovement).where(StockMovement.order_id == order["id"]))).one()
        assert taken.user_id == staff.id
        (notification,) = (await session.exec(select(Notification))).all()
        assert notification.user_id == customer.id

    async def test_staff_buy_for_themselves_too(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=5)

        assert (await an_order(as_staff, (product, 1)))["user_id"] == staff.id

    async def test_a_customer_does_not(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=5)
        before = await everything(session)

        for user_id in (other_customer.id, 1_000_000, MAX_ID):
            response = await as_customer.post("/orders", json=lines((product, 1), user_id=user_id))
            assert_refused(response, 403, "Only staff may order for somebody else.")

        assert await everything(session) == before
        assert (await an_order(as_customer, (product, 1), user_id=customer.id))["user_id"] == customer.id

    @pytest.mark.parametrize("user_id", [1_000_000, MAX_ID])
    async def test_not_for_one_who_does_not_exist(
        self, as_staff: AsyncClient, session: AsyncSession, user_id: int
    ) -> None:
        product = await a_product(session, stock=5)
        before = await everything(session)

        assert_refused(await as_staff.post("/orders", json=lines((product, 1), user_id=user_id)), 422, "body.user_id")
        assert await everything(session) == before

    async def test_not_for_one_who_is_not_active(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=5)
        await session.exec(update(User).where(col(User.id) == customer.id).values(is_active=False))
        before = await everything(session)

        assert_refused(
            await as_staff.post("/orders", json=lines((product, 1), user_id=customer.id)), 422, "body.user_id"
        )
        assert await everything(session) == before


class TestARefusedOrderChangesNothing:
    async def test_more_than_is_in_stock(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        plenty, scarce = await a_product(session, stock=100), await a_product(session, "Rare", 2, sku="RARE")
        before = await everything(session)

        response = await as_customer.post("/orders", json=lines((plenty, 5), (scarce, 3)))

        assert_refused(response, 409, "Only 2 of Rare (RARE) are in stock.")
        assert await everything(session) == before

    @pytest.mark.parametrize("product_id", [1_000_000, MAX_ID])
    async def test_a_product_that_does_not_exist(
        self, as_customer: AsyncClient, session: AsyncSession, product_id: int
    ) -> None:
        product = await a_product(session, stock=5)
        before = await everything(session)
        sent = lines((product, 1))
        sent["items"].append({"product_id": product_id, "quantity": 1})

        assert_refused(await as_customer.post("/orders", json=sent), 422, "body.items")
        assert await everything(session) == before

    async def test_a_product_that_is_not_sold_any_more(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=5)
        gone = await a_product(session, "Secret", stock=5, is_active=False)
        before = await everything(session)

        for client in (as_customer, as_staff):
            response = await client.post("/orders", json=lines((product, 1), (gone, 1)))
            assert_refused(response, 422, "body.items")
            assert "Secret" not in response.text
        assert await everything(session) == before

    async def test_a_total_beyond_any_order(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        dear = await a_product(session, stock=5, price=Decimal("9999999999.99"))
        cheap = await a_product(session, stock=5, price=Decimal("0.01"))
        before = await everything(session)

        for sent in (lines((dear, 2)), lines((dear, 1), (cheap, 1))):
            assert_refused(await as_customer.post("/orders", json=sent), 422, "body.items")
        assert await everything(session) == before
        assert (await an_order(as_customer, (dear, 1)))["total_amount"] == "9999999999.99"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"items": None}, "body.items"),
            ({"items": []}, "body.items"),
            ({"items": {}}, "body.items"),
            ({"items": [None]}, "body.items.0"),
            ({"items": [{}]}, "body.items.0.product_id"),
            ({"items": [{"product_id": 1}]}, "body.items.0.quantity"),
            ({"items": [{"product_id": 1, "quantity": 1, "price": 1}]}, "body.items.0.price"),
            ({"items": [{"product_id": 1, "quantity": 1}] * 101}, "body.items"),
            ({"user_id": 0}, "body.user_id"),
            ({"user_id": MAX_ID + 1}, "body.user_id"),
            ({"user_id": "me"}, "body.user_id"),
            ({"shipping_address": "x" * 501}, "body.shipping_address"),
            ({"shipping_address": "a\0b"}, "body.shipping_address"),
            ({"shipping_address": 1}, "body.shipping_address"),
            ({"status": "delivered"}, "body.status"),
            ({"total_amount": "0.01"}, "body.total_amount"),
            ({"order_number": "ORD-1"}, "body.order_number"),
            ({"paid_amount": "1.00"}, "body.paid_amount"),
            ({"colour": "red"}, "body.colour"),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_bad_input(
        self, as_staff: AsyncClient, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        product = await a_product(session, stock=5)
        before = await everything(session)

        assert_refused(await as_staff.post("/orders", json={**lines((product, 1)), **change}), 422, field)
        assert await everything(session) == before

    @pytest.mark.parametrize("quantity", [0, -1, 10_001, 1.5, "many", None, 10**30])
    async def test_a_quantity_that_cannot_be(
        self, as_customer: AsyncClient, session: AsyncSession, quantity: Any
    ) -> None:
        product = await a_product(session, stock=50_000)
        before = await everything(session)

        response = await as_customer.post("/orders", json=lines((product, quantity)))

        assert_refused(response, 422, "body.items.0.quantity")
        assert await everything(session) == before

    @pytest.mark.parametrize("product_id", [0, -1, MAX_ID + 1, 1.5, "one", None])
    async def test_what_cannot_be_a_product(
        self, as_customer: AsyncClient, session: AsyncSession, product_id: Any
    ) -> None:
        before = await everything(session)

        response = await as_customer.post("/orders", json={"items": [{"product_id": product_id, "quantity": 1}]})

        assert_refused(response, 422, "body.items.0.product_id")
        assert await everything(session) == before

    async def test_the_largest_order_that_can_be(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock=1_000_000, price=Decimal("0.01"))

        order = await an_order(as_customer, *[(product, 10_000)] * 100, shipping_address="🎧" * 500)

        assert (order["items"][0]["quantity"], order["total_amount"]) == (1_000_000, "10000.00")
        assert order["shipping_address"] == "🎧" * 500
        assert await stock_of(session, product) == 0


class TestManyOrdersAtOnce:
    async def test_sell_exactly_what_is_there(
        self,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        database: Database,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock=100)
        wanted = [1 + number % 3 for number in range(400)]

        with patience(database):
            responses = await asyncio.gather(
                *(
                    client.post("/orders", json=lines((product, quantity)))
                    for quantity, client in zip(wanted, [as_customer, as_other_customer] * 200, strict=True)
                )
            )

        assert [response.text for response in responses if response.status_code not in {201, 409}] == []
        # Whoever wants a single unit has it while there is one, and so many do that none can be left.
        sold = (await session.exec(select(func.sum(OrderItem.quantity)))).one()
        assert sold == 100, "units were sold"
        assert await stock_of(session, product) == 0
        assert sum(delta for delta, _, _ in await movements(session, product)) == 0
        statuses = [response.status_code for response in responses]
        assert sum(quantity for quantity, status in zip(wanted, statuses, strict=True) if status == 201) == 100
        assert len((await session.exec(select(Order))).all()) == statuses.count(201)
        for quantity, response in zip(wanted, responses, strict=True):
            if response.status_code == 409:
                assert left_when_refused(response) < quantity, "it could have been had"
        assert await verify(database)

    async def test_of_the_same_products_in_any_order_never_fail(
        self,
        as_customer: AsyncClient,
        database: Database,
        session: AsyncSession,
    ) -> None:
        products = [await a_product(session, stock=1_000) for _ in range(5)]
        choose = random.Random(5).sample
        wanted = [choose(products, 4) for _ in range(300)]

        with patience(database):
            responses = await asyncio.gather(
                *(as_customer.post("/orders", json=lines(*((product, 1) for product in four))) for four in wanted)
            )

        assert [response.text for response in responses if response.status_code != 201] == []
        for product in products:
            taken = sum(product in four for four in wanted)
            assert await stock_of(session, product) == 1_000 - taken
            assert [delta for delta, _, _ in await movements(session, product)] == [1_000] + [-1] * taken
        ordered = {order.json()["id"]: [line["product_id"] for line in order.json()["items"]] for order in responses}
        stored: dict[int, list[int]] = {}
        for line in (await session.exec(select(OrderItem).order_by(col(OrderItem.id)))).all():
            stored.setdefault(line.order_id, []).append(line.product_id)
        assert stored == ordered
        assert sorted(ordered.values()) == sorted(sorted(product.id for product in four) for four in wanted)
        assert await verify(database)

    async def test_while_others_are_cancelled(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        products = [await a_product(session, stock=40) for _ in range(4)]
        shuffle = random.Random(6).sample
        placed = [await an_order(as_customer, *((product, 1) for product in products)) for _ in range(10)]

        responses = await asyncio.gather(
            *(client.post(f"/orders/{order['id']}/cancel") for order in placed for client in (as_customer, as_staff)),
            *(
                as_customer.post("/orders", json=lines(*((product, 1) for product in shuffle(products, 4))))
                for _ in range(10)
            ),
        )

        statuses = [response.status_code for response in responses]
        assert sorted(statuses[:20]) == [200] * 10 + [409] * 10
        assert statuses[20:] == [201] * 10
        assert [await stock_of(session, product) for product in products] == [30] * 4
        await assert_stock_equals_movements(session)

    async def test_the_price_is_one_that_the_product_had(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=100, price=Decimal("1.00"))

        responses = await asyncio.gather(
            *(as_customer.post("/orders", json=lines((product, 3))) for _ in range(10)),
            *(as_staff.patch(f"/products/{product.id}", json={"price": f"{price}.00"}) for price in range(2, 6)),
        )

        assert {response.status_code for response in responses} == {200, 201}
        for response in responses[:10]:
            order = response.json()
            assert Decimal(order["items"][0]["unit_price"]) in {Decimal(price) for price in range(1, 6)}
            assert Decimal(order["total_amount"]) == 3 * Decimal(order["items"][0]["unit_price"])


class TestListOrders:
    async def test_customers_see_their_own_and_staff_all(
        self, as_customer: AsyncClient, as_other_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=10)
        first = await an_order(as_customer, (product, 1))
        second = await an_order(as_other_customer, (product, 2))
        third = await an_order(as_customer, (product, 3))

        async def listed(client: AsyncClient) -> Any:
            page = (await client.get("/orders")).json()
            assert page["total"] == len(page["items"])
            return page["items"]

        assert await listed(as_customer) == [third, first]
        assert await listed(as_other_customer) == [second]
        assert await listed(as_staff) == [third, second, first]

    async def test_there_are_none_at_first(self, as_customer: AsyncClient) -> None:
        assert (await as_customer.get("/orders")).json()["items"] == []

    async def test_nobody_sees_any_without_signing_in(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/orders"), 401)

    async def test_by_status(self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock=10)
        order_of = {}
        for status in STATUSES:
            order_of[status] = (await an_order(as_customer, (product, 1)))["id"]
            await bring_to(as_staff, order_of[status], status)

        for status in STATUSES:
            page = (await as_customer.get("/orders", params={"status": status})).json()
            assert [(item["id"], item["status"]) for item in page["items"]] == [(order_of[status], status)]

    @pytest.mark.parametrize("status", ["paid", "", "PENDING", "a\0b"])
    async def test_a_status_that_does_not_exist_is_refused(self, as_customer: AsyncClient, status: str) -> None:
        assert_refused(await as_customer.get("/orders", params={"status": status}), 422, "query.status")

    @pytest.mark.parametrize("path", ["/orders", "/orders/user/{}"])
    async def test_walking_by_cursor_shows_each_exactly_once(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, path: str
    ) -> None:
        product = await a_product(session, stock=10)
        placed = [(await an_order(as_customer, (product, 1)))["id"] for _ in range(7)]
        walked: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            params: dict[str, Any] = {"cursor": cursor, "page_size": 3}
            answer = (await as_customer.get(path.format(customer.id), params=params)).json()
            walked += [item["id"] for item in answer["items"]]
            cursor = answer["next_cursor"]

        assert walked == placed[::-1]

    @pytest.mark.parametrize("path", ["/orders", "/orders/user/{}"])
    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_four_statements_whatever_the_size(
        self,
        as_customer: AsyncClient,
        customer: User,
        session: AsyncSession,
        database: Database,
        path: str,
        size: int,
    ) -> None:
        products = [await a_product(session, stock=100) for _ in range(3)]
        for _ in range(size):
            await an_order(as_customer, *((product, 1) for product in products))

        with count_statements(database) as statements:
            page = (await as_customer.get(path.format(customer.id))).json()
        assert [len(item["items"]) for item in page["items"]] == [3] * size
        assert len(statements) == 4  # the token, the count, the orders, the lines


class TestListUserOrders:
    async def test_ones_own_or_as_staff_anybodys(
        self,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 1))
        await an_order(as_other_customer, (product, 1))

        for client in (as_customer, as_staff):
            page = (await client.get(f"/orders/user/{customer.id}")).json()
            assert (page["items"], page["total"]) == ([order], 1)

    async def test_nobody_elses(
        self, client: AsyncClient, as_other_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        assert_refused(await client.get(f"/orders/user/{customer.id}"), 401)
        for user_id in (customer.id, 1_000_000):
            assert_refused(await as_other_customer.get(f"/orders/user/{user_id}"), 404, "no such user")

    async def test_not_even_for_staff_those_of_a_user_who_does_not_exist(self, as_staff: AsyncClient) -> None:
        for user_id in (1_000_000, MAX_ID):
            assert_refused(await as_staff.get(f"/orders/user/{user_id}"), 404, "no such user")

    async def test_of_a_user_without_orders_the_list_is_empty(self, as_staff: AsyncClient, customer: User) -> None:
        assert (await as_staff.get(f"/orders/user/{customer.id}")).json()["items"] == []

    @pytest.mark.parametrize("user_id", [0, -1, MAX_ID + 1, "me"])
    async def test_what_cannot_be_a_user_is_refused(self, as_staff: AsyncClient, user_id: Any) -> None:
        assert_refused(await as_staff.get(f"/orders/user/{user_id}"), 422, "path.user_id")


READS = ["/orders/{}", "/orders/{}/details", "/orders/{}/events"]


class TestReadOrder:
    @pytest.mark.parametrize("path", READS)
    async def test_its_owner_and_staff_do(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        order = await an_order(as_customer, (await a_product(session, stock=1), 1))

        owner, staff = [await client.get(path.format(order["id"])) for client in (as_customer, as_staff)]

        assert (owner.status_code, staff.status_code) == (200, 200)
        assert owner.json() == staff.json()

    @pytest.mark.parametrize("path", READS)
    async def test_to_anybody_else_it_does_not_exist(
        self,
        client: AsyncClient,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        session: AsyncSession,
        path: str,
    ) -> None:
        order = await an_order(as_customer, (await a_product(session, stock=1), 1))

        assert_refused(await client.get(path.format(order["id"])), 401)
        theirs = await as_other_customer.get(path.format(order["id"]))
        nobodys = await as_other_customer.get(path.format(1_000_000))
        assert_refused(theirs, 404, "no such order")
        assert theirs.json() == nobodys.json()

    @pytest.mark.parametrize("path", READS)
    @pytest.mark.parametrize(("order_id", "status"), [(MAX_ID, 404), (0, 422), (MAX_ID + 1, 422), ("one", 422)])
    async def test_what_is_no_order_is_refused(
        self, as_staff: AsyncClient, path: str, order_id: Any, status: int
    ) -> None:
        assert_refused(await as_staff.get(path.format(order_id)), status)

    @pytest.mark.parametrize(("path", "expected"), [("/orders/{}", 3), ("/orders/{}/details", 3)])
    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_as_many_statements_whatever_the_size(
        self,
        as_customer: AsyncClient,
        session: AsyncSession,
        database: Database,
        path: str,
        expected: int,
        size: int,
    ) -> None:
        products = [await a_product(session, stock=1) for _ in range(size)]
        order = await an_order(as_customer, *((product, 1) for product in products))

        with count_statements(database) as statements:
            read = (await as_customer.get(path.format(order["id"]))).json()
        assert len(read["items"]) == size
        assert len(statements) == expected  # the token, the order (and its user), the lines (and their products)


class TestReadOrderDetails:
    async def test_with_its_user_and_products(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        one, other = await a_product(session, "One", 5), await a_product(session, "Other", 5)
        order = await an_order(as_customer, (one, 1), (other, 2))

        details = (await as_customer.get(f"/orders/{order['id']}/details")).json()

        assert details["user"] == {"id": customer.id, "username": "customer"}
        assert [(item["quantity"], item["product"]["id"]) for item in details["items"]] == [(1, one.id), (2, other.id)]
        assert [item["product"]["stock_quantity"] for item in details["items"]] == [4, 3]
        for item in details["items"]:
            del item["product"]
        del details["user"]
        assert details == order


class TestChangeOrderStatus:
    @pytest.mark.parametrize("after", STATUSES)
    @pytest.mark.parametrize("before", STATUSES)
    async def test_only_what_may_follow_follows(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        staff: User,
        session: AsyncSession,
        before: str,
        after: str,
    ) -> None:
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 4))
        await bring_to(as_staff, order["id"], before)
        rows = await everything(session)

        response = await set_status(as_staff, order["id"], after)

        if (before, after) not in LEGAL:
            assert_refused(response, 409, f"An order that is {before} cannot become {after}.")
            assert await everything(session) == rows
            return
        assert response.status_code == 200
        assert (response.json()["id"], response.json()["status"]) == (order["id"], after)
        stored = await session.get(Order, order["id"])
        assert stored is not None
        assert stored.status == after
        assert stored.updated_at > stored.created_at
        event = (await session.exec(select(OrderEvent).order_by(col(OrderEvent.id).desc()))).first()
        assert event is not None
        assert (event.from_status, event.to_status, event.user_id) == (before, after, staff.id)
        assert await stock_of(session, product) == (10 if after == "cancelled" else 6)
        await assert_stock_equals_movements(session)

    async def test_each_change_leaves_a_notification(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=10)
        delivered, cancelled = [(await an_order(as_customer, (product, 1))) for _ in range(2)]
        await bring_to(as_staff, delivered["id"], "delivered")
        await bring_to(as_staff, cancelled["id"], "cancelled")

        told: dict[int | None, list[str]] = {}
        for each in (await session.exec(select(Notification).order_by(col(Notification.id)))).all():
            assert each.user_id == customer.id
            told.setdefault(each.order_id, []).append(each.kind.value)
        assert told == {
            delivered["id"]: ["order_placed", "order_confirmed", "order_shipped", "order_delivered"],
            cancelled["id"]: ["order_placed", "order_cancelled"],
        }

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, as_other_customer: AsyncClient, session: AsyncSession
    ) -> None:
        order = await an_order(as_customer, (await a_product(session, stock=1), 1))
        before = await everything(session)

        for status in ("confirmed", "cancelled"):
            assert_refused(await set_status(client, order["id"], status), 401)
            assert_refused(await set_status(as_customer, order["id"], status), 403)
            assert (await set_status(as_other_customer, order["id"], status)).status_code in {403, 404}
        assert await everything(session) == before

    @pytest.mark.parametrize("status", ["paid", "", "CONFIRMED", "a\0b"])
    async def test_a_status_that_does_not_exist_is_refused(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession, status: str
    ) -> None:
        order = await an_order(as_customer, (await a_product(session, stock=1), 1))

        assert_refused(await set_status(as_staff, order["id"], status), 422, "query.new_status")
        assert_refused(await as_staff.patch(f"/orders/{order['id']}/status"), 422, "query.new_status")

    @pytest.mark.parametrize(("order_id", "status"), [(1_000_000, 404), (MAX_ID, 404), (0, 422), (MAX_ID + 1, 422)])
    async def test_of_what_is_no_order_is_refused(self, as_staff: AsyncClient, order_id: int, status: int) -> None:
        assert_refused(await set_status(as_staff, order_id, "confirmed"), status)

    async def test_of_two_changes_at_once_one_is_refused(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=100)
        for _ in range(10):
            order = await an_order(as_customer, (product, 1))
            await bring_to(as_staff, order["id"], "confirmed")
            responses = await asyncio.gather(
                *(set_status(as_staff, order["id"], status) for status in ("shipped", "cancelled"))
            )
            assert sorted(response.status_code for response in responses) == [200, 409]
            stored = await session.get(Order, order["id"])
            assert stored is not None
            assert stored.status == ("shipped" if responses[0].status_code == 200 else "cancelled")
            of_order = select(OrderEvent).where(OrderEvent.order_id == order["id"])
            assert len((await session.exec(of_order)).all()) == 3
        await assert_stock_equals_movements(session)


class TestCancelOrder:
    @pytest.mark.parametrize("who", ["owner", "staff"])
    @pytest.mark.parametrize("status", STATUSES)
    async def test_gives_the_stock_back_exactly_once(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        staff: User,
        session: AsyncSession,
        status: str,
        who: str,
    ) -> None:
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 4))
        await bring_to(as_staff, order["id"], status)
        rows = await everything(session)
        client, user = (as_customer, customer) if who == "owner" else (as_staff, staff)

        response = await client.post(f"/orders/{order['id']}/cancel")

        if status not in {"pending", "confirmed"}:
            assert_refused(response, 409, f"is {status} cannot become cancelled")
            assert await everything(session) == rows
            return
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
        assert_refused(await client.post(f"/orders/{order['id']}/cancel"), 409, "cannot become cancelled")
        assert await stock_of(session, product) == 10
        assert await movements(session, product) == [
            (10, "initial", None),
            (-4, "order", order["id"]),
            (4, "cancellation", order["id"]),
        ]
        given_back = (
            await session.exec(select(StockMovement).where(StockMovement.reason == StockReason.CANCELLATION))
        ).one()
        assert given_back.user_id == user.id
        event = (await session.exec(select(OrderEvent).order_by(col(OrderEvent.id).desc()))).first()
        assert event is not None
        assert (event.from_status, event.to_status, event.user_id) == (status, "cancelled", user.id)

    async def test_the_order_stays_as_it_was(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        order = await an_order(as_customer, (await a_product(session, stock=5), 5))
        await as_customer.post(f"/orders/{order['id']}/cancel")

        read = (await as_customer.get(f"/orders/{order['id']}")).json()

        assert read == {**order, "status": "cancelled", "updated_at": read["updated_at"]}

    @pytest.mark.parametrize("status", STATUSES)
    async def test_to_anybody_else_it_does_not_exist(
        self,
        client: AsyncClient,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        as_staff: AsyncClient,
        session: AsyncSession,
        status: str,
    ) -> None:
        order = await an_order(as_customer, (await a_product(session, stock=5), 5))
        await bring_to(as_staff, order["id"], status)
        before = await everything(session)

        assert_refused(await client.post(f"/orders/{order['id']}/cancel"), 401)
        assert_refused(await as_other_customer.post(f"/orders/{order['id']}/cancel"), 404, "no such order")
        assert await everything(session) == before

    async def test_of_an_inactive_product_too(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=5)
        order = await an_order(as_customer, (product, 5))
        await as_staff.delete(f"/products/{product.id}")

        assert (await as_customer.post(f"/orders/{order['id']}/cancel")).status_code == 200

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.is_active, stored.stock_quantity) == (False, 5)

    @pytest.mark.parametrize(("order_id", "status"), [(1_000_000, 404), (MAX_ID, 404), (0, 422), (MAX_ID + 1, 422)])
    async def test_of_what_is_no_order_is_refused(self, as_staff: AsyncClient, order_id: int, status: int) -> None:
        assert_refused(await as_staff.post(f"/orders/{order_id}/cancel"), status)

    async def test_that_was_confirmed_meanwhile_is_cancelled_all_the_same(
        self, as_customer: AsyncClient, session: AsyncSession, database: Database, backend: Backend
    ) -> None:
        """It waits for whoever changes the status first, and looks again whether it may."""
        if backend.name == "sqlite":
            pytest.skip("one transaction writes at a time: nothing changes meanwhile")
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 4))
        this = col(Order.id) == order["id"]

        async with database.writes() as other, other.begin():
            await other.exec(update(Order).where(this).values(status=OrderStatus.CONFIRMED))
            before, after = OrderStatus.PENDING, OrderStatus.CONFIRMED
            other.add(OrderEvent(order_id=order["id"], from_status=before, to_status=after))
            await other.flush()
            cancelling = asyncio.create_task(as_customer.post(f"/orders/{order['id']}/cancel"))
            await asyncio.sleep(0.3)
            assert not cancelling.done()

        assert (await cancelling).json()["status"] == "cancelled"
        assert await stock_of(session, product) == 10
        events = select(OrderEvent.from_status, OrderEvent.to_status).where(OrderEvent.order_id == order["id"])
        assert (await session.exec(events.order_by(col(OrderEvent.id)))).all() == [
            (None, "pending"),
            ("pending", "confirmed"),
            ("confirmed", "cancelled"),
        ]

    async def test_of_eight_at_once_one_cancels_each_of_twenty_orders(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        database: Database,
        session: AsyncSession,
    ) -> None:
        products = [await a_product(session, stock=100, price=Decimal("10.00")) for _ in range(3)]
        account = await an_account(session, customer, "1000.00")
        credit, card = (as_customer, "store_credit"), (as_staff, "card")
        ways_to_pay: list[list[tuple[AsyncClient, str, str]]] = [
            [],
            [(*credit, "120.00")],
            [(*card, "120.00")],
            [(*credit, "50.00")],
            [(*card, "70.00"), (*credit, "50.00")],
        ]
        placed = [await an_order(as_customer, *((product, 4) for product in products)) for _ in range(20)]
        for order, payments in zip(placed, ways_to_pay * 4, strict=True):
            for client, method, amount in payments:
                payment = {"method": method, "amount": amount}
                assert (await client.post(f"/orders/{order['id']}/payments", json=payment)).status_code == 201

        with patience(database):
            responses = await asyncio.gather(
                *(
                    client.post(f"/orders/{order['id']}/cancel")
                    for order in placed
                    for client in [as_customer, as_staff] * 4
                )
            )

        assert [response.text for response in responses if response.status_code not in {200, 409}] == []
        once_each = Counter(order["id"] for order in placed)
        for product in products:
            assert await stock_of(session, product) == 100, "units are back"
            moved = await movements(session, product)
            assert Counter(order_id for _, reason, order_id in moved if reason == "cancellation") == once_each
        assert (await balances(session))[account.id] == Decimal("1000.00")
        paid = (await session.exec(select(Payment))).all()
        refunded = (await session.exec(select(Refund))).all()
        assert Counter((each.payment_id, each.amount) for each in refunded) == Counter((p.id, p.amount) for p in paid)
        told = select(Notification.order_id).where(Notification.kind == NotificationKind.ORDER_CANCELLED)
        assert Counter((await session.exec(told)).all()) == once_each
        for number in range(20):
            answers = responses[8 * number : 8 * number + 8]
            assert sorted(response.status_code for response in answers) == [200] + [409] * 7
        assert await verify(database)


class TestListOrderEvents:
    async def test_one_for_each_change_from_the_start(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        staff: User,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 1))
        await set_status(as_staff, order["id"], "confirmed")
        await set_status(as_staff, order["id"], "delivered")
        await as_customer.post(f"/orders/{order['id']}/cancel")
        await an_order(as_customer, (product, 1))

        page = (await as_customer.get(f"/orders/{order['id']}/events")).json()

        assert [(each["from_status"], each["to_status"], each["user_id"]) for each in page["items"]] == [
            (None, "pending", customer.id),
            ("pending", "confirmed", staff.id),
            ("confirmed", "cancelled", customer.id),
        ]
        assert {each["order_id"] for each in page["items"]} == {order["id"]}

    @pytest.mark.parametrize("size", [1, 4])
    async def test_takes_four_statements_whatever_the_size(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        session: AsyncSession,
        database: Database,
        size: int,
    ) -> None:
        order = await an_order(as_customer, (await a_product(session, stock=1), 1))
        await bring_to(as_staff, order["id"], "delivered" if size == 4 else "pending")

        with count_statements(database) as statements:
            page = (await as_customer.get(f"/orders/{order['id']}/events")).json()
        assert len(page["items"]) == size
        assert len(statements) == 4  # the token, the order, the count, the events


class TestAnOrderOutlivesItsUser:
    @pytest.mark.parametrize("status", STATUSES)
    async def test_when_the_user_is_erased(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        session: AsyncSession,
        status: str,
    ) -> None:
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 1))
        await bring_to(as_staff, order["id"], status)
        before = (await as_staff.get(f"/orders/{order['id']}")).json()

        assert (await as_customer.delete(f"/users/{customer.id}")).status_code == 204

        assert (await as_staff.get(f"/orders/{order['id']}")).json() == before
        details = (await as_staff.get(f"/orders/{order['id']}/details")).json()
        assert details["user"] == {"id": customer.id, "username": f"erased-{customer.id}"}
        assert (await as_staff.get(f"/orders/{order['id']}/events")).json()["total"] == len(WAY_TO[status]) + 1
        await assert_stock_equals_movements(session)

    async def test_and_can_still_be_cancelled_by_staff(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 4))
        await as_staff.delete(f"/users/{customer.id}")

        assert (await as_staff.post(f"/orders/{order['id']}/cancel")).status_code == 200
        assert await stock_of(session, product) == 10

    async def test_nobody_erased_orders_again(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock=10)
        await an_order(as_customer, (product, 1))
        await as_customer.delete(f"/users/{customer.id}")

        assert_refused(await as_customer.post("/orders", json=lines((product, 1))), 401)
        response = await as_staff.post("/orders", json=lines((product, 1), user_id=customer.id))
        assert_refused(response, 422, "body.user_id")
        assert await stock_of(session, product) == 9

    async def test_while_the_user_is_erased(
        self, as_staff: AsyncClient, session: AsyncSession, connect: Connect
    ) -> None:
        product = await a_product(session, stock=100)
        for number in range(8):
            user = User(username=f"leaving{number}", email=f"leaving{number}@example.com", hashed_password="x")
            await save(session, user)
            client = await connect(user)

            ordered, erased = await asyncio.gather(
                client.post("/orders", json=lines((product, 1))), as_staff.delete(f"/users/{user.id}")
            )

            assert erased.status_code in {204, 409}
            placed = (await session.exec(select(Order).where(Order.user_id == user.id))).all()
            assert len(placed) == (1 if ordered.status_code == 201 else 0)
            assert ordered.status_code in {201, 401, 409, 422}
        await assert_stock_equals_movements(session)


@pytest.fixture(params=["refused", "gone"])
async def broken_notifications(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[None]:
    """The database itself refuses every notification, or has no such table.

    The name is a new one each time: SQLite's connections may still know a trigger that another one has dropped.
    """
    name, table = f"broken_{next(numbers)}", "notifications"
    if request.param == "gone":
        breaking, mending = f"ALTER TABLE {table} RENAME TO {name}", f"ALTER TABLE {name} RENAME TO {table}"
    elif database.engine.dialect.name == "sqlite":
        breaking = f"CREATE TRIGGER {name} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END"
        mending = f"DROP TRIGGER {name}"
    else:
        breaking = f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (message IS NULL)"
        mending = f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    async with database.engine.connect() as connection:
        await connection.execute(text(breaking))
    try:
        yield
    finally:
        async with database.engine.connect() as connection:
            await connection.execute(text(mending))


class TestWithoutNotifications:
    @pytest.mark.usefixtures("broken_notifications")
    async def test_an_order_stands_and_goes_its_way(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = await a_product(session, stock=10)

        order = await an_order(as_customer, (product, 4))
        await bring_to(as_staff, order["id"], "delivered")

        assert (await as_customer.get(f"/orders/{order['id']}")).json()["status"] == "delivered"
        assert await stock_of(session, product) == 6
        assert (await as_customer.get(f"/orders/{order['id']}/events")).json()["total"] == 4
        assert "a notification could not be written" in caplog.text
        await assert_stock_equals_movements(session)

    @pytest.mark.usefixtures("broken_notifications")
    async def test_a_cancellation_stands(
        self, as_customer: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = await a_product(session, stock=10)
        order = await an_order(as_customer, (product, 4))

        assert (await as_customer.post(f"/orders/{order['id']}/cancel")).status_code == 200

        assert await stock_of(session, product) == 10
        assert caplog.text.count("a notification could not be written") == 2
        await assert_stock_equals_movements(session)
