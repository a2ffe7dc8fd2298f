"""What happens is recorded as an event, in its own transaction and as the API answers it."""

from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from httpx import AsyncClient
from sqlmodel import col, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.main import create_app
from api.models.event import Event, EventRead, EventType
from api.models.payloads import PAYLOADS
from api.models.product import LOW_STOCK, Product
from api.models.user import ErasedUser, User
from api.rules.events import record_event
from api.settings import Settings
from tests.books import rows_of
from tests.factories import a_payment, a_product, a_user, an_account, an_order, order_body
from tests.rules.failing_notifications import failing_notifications
from tests.support import assert_refused

NEWCOMER = {"username": "anna", "email": "anna@example.com", "password": "SecurePass123", "full_name": "Anna Ünal"}

Told = tuple[str, str, Any]
"""The type of an event, its subject and its data."""


@cache
def validator_of(happened: str) -> jsonschema_rs.Validator:
    """Knows what the document says of an envelope."""
    document = create_app(Settings(_env_file=None)).openapi()
    body = document["webhooks"][happened]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for({**body, "components": document["components"]})


async def told(session: AsyncSession) -> list[Told]:
    """All events, the oldest first, which are then forgotten. Each is what the document says."""
    events = await rows_of(session, Event)
    for each in events:
        envelope = EventRead.model_validate(each, from_attributes=True).model_dump(mode="json")
        errors = [error.message for error in validator_of(each.type.value).iter_errors(envelope)]
        assert not errors, f"{envelope}: {errors}"
    found = [(each.type.value, each.subject, each.data) for each in events]
    await session.exec(text("DELETE FROM events"))  # type: ignore[call-overload]
    return found


def without_items(order: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if name != "items"}


def test_every_type_has_a_payload() -> None:
    assert list(PAYLOADS) == list(EventType)


class TestOrders:
    async def test_an_order_that_is_placed_is_told_with_its_lines(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        products = [await a_product(session, price="79.99", stock_quantity=50) for _ in range(2)]

        placed = await as_customer.post("/orders", json=order_body((products[0], 2), (products[1], 1)))

        order = (await as_customer.get(f"/orders/{placed.json()['id']}")).json()
        assert await told(session) == [("order.placed", f"orders/{order['id']}", order)]
        assert order["items"][0]["total_price"] == "159.98"

    async def test_each_status_of_an_order_is_told_as_it_was_answered(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        order = await an_order(session)
        for status in ("confirmed", "shipped", "delivered"):
            answer = await as_staff.patch(f"/orders/{order.id}/status", params={"new_status": status})
            assert await told(session) == [(f"order.{status}", f"orders/{order.id}", answer.json())]

    async def test_a_payment_in_full_is_told_before_the_confirmation_that_it_brings(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        order = await an_order(session, total="20.00")
        payments = f"/orders/{order.id}/payments"

        part = (await as_staff.post(payments, json={"method": "cash", "amount": "5.00"})).json()
        assert await told(session) == [("payment.received", f"payments/{part['id']}", part)]
        rest = (await as_staff.post(payments, json={"method": "card", "amount": "15.00", "reference": "ch_1"})).json()

        confirmed = without_items((await as_staff.get(f"/orders/{order.id}")).json())
        assert confirmed["status"] == "confirmed"
        assert await told(session) == [
            ("payment.received", f"payments/{rest['id']}", rest),
            ("order.confirmed", f"orders/{order.id}", confirmed),
        ]

    async def test_a_refund_is_told_of_its_payment(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        payment = await a_payment(session, amount="50.00")

        refund = await as_staff.post(f"/payments/{payment.id}/refunds", json={"amount": "20.00", "reason": "Scratched"})

        assert await told(session) == [("payment.refunded", f"payments/{payment.id}", refund.json())]

    async def test_a_cancelled_order_is_told_as_it_is_once_its_money_went_back(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "50.00")
        order = await an_order(session, customer, total="100.00", paid_amount="30.00")
        await as_customer.post(f"/orders/{order.id}/payments", json={"method": "store_credit", "amount": "50.00"})
        await told(session)

        answer = await as_customer.post(f"/orders/{order.id}/cancel")

        payments = (await as_staff.get(f"/orders/{order.id}/payments")).json()["items"]
        cancelled = without_items((await as_customer.get(f"/orders/{order.id}")).json())
        assert (cancelled["status"], cancelled["refunded_amount"]) == ("cancelled", "80.00")
        assert answer.json() == cancelled
        assert await told(session) == [
            *(("payment.refunded", f"payments/{each['id']}", each["refunds"][0]) for each in payments),
            ("order.cancelled", f"orders/{order.id}", cancelled),
        ]


class TestStock:
    async def test_the_sale_that_makes_stock_low_is_told_once(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Kopfhörer", stock_quantity=LOW_STOCK + 3)
        low = []
        for quantity in (2, 2, 1):
            await as_customer.post("/orders", json=order_body((product, quantity)))
            low.append([each for each in await told(session) if each[0] == "stock.low"])

        left = {"id": product.id, "sku": product.sku, "name": "Kopfhörer", "stock_quantity": LOW_STOCK - 1}
        assert low == [[], [("stock.low", f"products/{product.id}", left)], []]

    async def test_the_threshold_is_that_of_the_list(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_product(session, stock_quantity=LOW_STOCK + 1)
        low = await a_product(session, stock_quantity=LOW_STOCK)
        assert [each["id"] for each in (await as_staff.get("/products/low-stock")).json()["items"]] == [low.id]


class TestUsers:
    async def test_a_registration_is_told(self, client: AsyncClient, session: AsyncSession) -> None:
        user = (await client.post("/users", json=NEWCOMER)).json()

        (event,) = await rows_of(session, Event)
        assert event.user_id == user["id"]
        assert await told(session) == [("user.registered", f"users/{user['id']}", user)]

    async def test_customers_whom_staff_add_are_told_each(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        sent = [{**NEWCOMER, "username": f"user{each}", "email": f"{each}@example.com"} for each in range(3)]
        added = (await as_staff.post("/users/bulk", json=sent)).json()
        assert await told(session) == [("user.registered", f"users/{each['id']}", each) for each in added]

        file = b"username,email\nbert,bert@example.com\n"
        imported = await as_staff.post("/imports/users", content=file, headers={"Content-Type": "text/csv"})
        assert imported.json()["created"] == 1
        bert = (await as_staff.get("/users/by-email/bert@example.com")).json()
        assert await told(session) == [("user.registered", f"users/{bert['id']}", bert)]

    async def test_an_erased_user_is_told_by_number_and_takes_the_registration_along(
        self, client: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        user = (await client.post("/users", json=NEWCOMER)).json()

        assert (await as_staff.delete(f"/users/{user['id']}")).status_code == 204

        assert await told(session) == [("user.erased", f"users/{user['id']}", {"id": user["id"]})]

    async def test_all_users_who_are_erased_at_once_are_told(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        users = [await a_user(session, is_active=False) for _ in range(3)]
        await an_order(session, users[1])

        assert (await as_staff.delete("/users/bulk/inactive")).json() == {"changed": 3}

        assert await told(session) == [("user.erased", f"users/{each.id}", {"id": each.id}) for each in users]


class TestOneTransaction:
    """An event is committed with what it tells of, or not at all."""

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "refused"}], ids=["without a key", "with a key"])
    async def test_what_is_refused_is_not_told(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, headers: dict[str, str]
    ) -> None:
        """The payment was recorded before the store credit turns out not to suffice."""
        await an_account(session, customer, "1.00")
        order = await an_order(session, customer, total="20.00")

        paid = {"method": "store_credit", "amount": "20.00"}
        assert_refused(await as_customer.post(f"/orders/{order.id}/payments", json=paid, headers=headers), 409)

        assert await told(session) == []

    async def test_what_is_sent_again_is_told_once(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product, headers = await a_product(session, stock_quantity=50), {"Idempotency-Key": "order-1"}
        for _ in range(2):
            await as_customer.post("/orders", json=order_body((product, 1)), headers=headers)
        assert [each[0] for each in await told(session)] == ["order.placed"]

    async def test_what_is_rolled_back_is_not_told(self, database: Database, session: AsyncSession) -> None:
        with suppress(ZeroDivisionError):
            async with database.transaction() as write:
                record_event(write, EventType.USER_ERASED, User, 1, ErasedUser(id=1))
                raise ZeroDivisionError
        async with database.transaction():
            pass
        assert await told(session) == []

    async def test_what_is_undone_with_a_savepoint_is_not_told(self, database: Database, session: AsyncSession) -> None:
        async with database.transaction() as write:
            record_event(write, EventType.USER_ERASED, User, 1, ErasedUser(id=1))
            with suppress(ZeroDivisionError):
                async with write.begin_nested():
                    record_event(write, EventType.USER_ERASED, User, 2, ErasedUser(id=2))
                    raise ZeroDivisionError
            async with write.begin_nested():
                record_event(write, EventType.USER_ERASED, User, 3, ErasedUser(id=3))
        assert [each[1] for each in await told(session)] == ["users/1", "users/3"]

    async def test_an_order_is_told_although_its_notification_fails(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="20.00", stock_quantity=50)
        async with failing_notifications(session):
            order = await as_customer.post("/orders", json=order_body((product, 2)))

        assert await told(session) == [("order.placed", f"orders/{order.json()['id']}", order.json())]

    async def test_a_session_that_commits_by_itself_writes_what_waits(
        self, database: Database, session: AsyncSession
    ) -> None:
        async with database.writes() as write, write.begin():
            record_event(write, EventType.USER_ERASED, User, 1, ErasedUser(id=1))
        assert await told(session) == [("user.erased", "users/1", {"id": 1})]

    async def test_thousands_of_events_are_written_in_their_order(
        self, database: Database, session: AsyncSession
    ) -> None:
        async with database.transaction() as write:
            for number in range(1, 2_222):
                record_event(write, EventType.USER_ERASED, User, number, ErasedUser(id=number))
                if number % 1_000 == 0:  # a flush writes what waits, where that is much
                    write.add(Product(name=f"P{number}", sku=f"P{number}", slug=f"p{number}", price=Decimal(1)))
                    await write.flush()
        subjects = (await session.exec(select(Event.subject).order_by(col(Event.id)))).all()
        assert subjects == [f"users/{number}" for number in range(1, 2_222)]
