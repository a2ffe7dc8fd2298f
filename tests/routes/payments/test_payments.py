"""Payments and refunds: never more than is due, never more back than was paid, and store credit moves along."""

import asyncio
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import SQLModel, col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.account import Account, ShopAccount
from api.models.notification import Notification, NotificationKind
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import Payment, PaymentMethod, PaymentStatus
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.transaction import Transaction
from api.models.user import User
from tests.support import assert_refused, count_statements, save

numbers = count(1)

OTHER_METHODS = ["card", "bank_transfer", "cash"]


async def an_order(session: AsyncSession, user: User, total: str = "100.00", **fields: Any) -> Order:
    order = Order(user_id=user.id, total_amount=Decimal(total), **fields)
    await save(session, order)
    return order


async def a_payment(
    session: AsyncSession, order: Order, amount: str, method: PaymentMethod = PaymentMethod.CARD
) -> Payment:
    payment = Payment(order_id=order.id, method=method, amount=Decimal(amount))
    await save(session, payment)
    paid = col(Order.paid_amount) + payment.amount
    await session.exec(update(Order).where(col(Order.id) == order.id).values(paid_amount=paid))
    return payment


async def give_credit(session: AsyncSession, user: User, amount: str) -> Account:
    """An account with a balance, and the transaction that explains it."""
    issued = (await session.exec(select(Account).where(Account.name == ShopAccount.ISSUED))).one()
    account = Account(name=f"Store credit {user.id}", user_id=user.id, balance=Decimal(amount))
    await save(session, account)
    await session.exec(update(Account).where(col(Account.id) == issued.id).values(balance=-Decimal(amount)))
    await save(session, Transaction(from_account_id=issued.id, to_account_id=account.id, amount=Decimal(amount)))
    return account


async def rows(session: AsyncSession, model: type[SQLModel]) -> list[Any]:
    return list((await session.exec(select(model).order_by(col(model.id)))).all())  # type: ignore[attr-defined]


async def stored(session: AsyncSession) -> dict[str, list[dict[str, Any]]]:
    """All that a payment or a refund could have changed."""
    models = (Order, OrderEvent, Payment, Refund, Account, Transaction, Notification)
    return {model.__name__: [row.model_dump() for row in await rows(session, model)] for model in models}


async def balance(session: AsyncSession, user: User) -> Decimal:
    return (await session.exec(select(col(Account.balance)).where(Account.user_id == user.id))).one()


async def assert_the_ledger_is_right(session: AsyncSession) -> None:
    """Every balance is what came in less what went out, and all come to zero."""
    expected = {account.id: Decimal(0) for account in await rows(session, Account)}
    for transaction in await rows(session, Transaction):
        expected[transaction.from_account_id] -= transaction.amount
        expected[transaction.to_account_id] += transaction.amount
    assert {account.id: account.balance for account in await rows(session, Account)} == expected
    assert sum(expected.values()) == 0


async def told(session: AsyncSession, user: User) -> list[NotificationKind]:
    return [each.kind for each in await rows(session, Notification) if each.user_id == user.id]


async def pay(client: AsyncClient, order: Order, amount: str, method: str = "card", **fields: Any) -> Any:
    return await client.post(f"/orders/{order.id}/payments", json={"method": method, "amount": amount, **fields})


async def give_back(client: AsyncClient, payment: Payment, amount: str) -> Any:
    return await client.post(f"/payments/{payment.id}/refunds", json={"amount": amount, "reason": "Scratched"})


class TestPayOrder:
    @pytest.mark.parametrize("method", OTHER_METHODS)
    async def test_staff_record_a_payment(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, method: str
    ) -> None:
        order = await an_order(session, customer)

        response = await pay(as_staff, order, "40.00", method, reference="R-1")

        assert response.status_code == 201
        (payment,) = await rows(session, Payment)
        assert response.json() == {
            "id": payment.id,
            "order_id": order.id,
            "method": method,
            "amount": "40.00",
            "reference": "R-1",
            "status": "completed",
            "refunded_amount": "0.00",
            "created_at": response.json()["created_at"],
        }
        assert (payment.order_id, payment.method, payment.amount) == (order.id, method, Decimal("40.00"))
        (paid,) = await rows(session, Order)
        assert (paid.paid_amount, paid.status) == (Decimal("40.00"), OrderStatus.PENDING)
        assert await rows(session, Transaction) == []

    async def test_its_owner_pays_with_store_credit(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await give_credit(session, customer, "70.00")
        order = await an_order(session, customer)

        response = await pay(as_customer, order, "60.00", "store_credit")

        assert response.status_code == 201
        assert await balance(session, customer) == Decimal("10.00")
        moved = (await rows(session, Transaction))[-1]
        sales = (await session.exec(select(Account).where(Account.name == ShopAccount.SALES))).one()
        assert (moved.from_account_id, moved.to_account_id) == (account.id, sales.id)
        assert (moved.amount, moved.order_id) == (Decimal("60.00"), order.id)
        assert moved.description == f"Payment for {order.order_number}"
        await assert_the_ledger_is_right(session)

    async def test_staff_pay_their_own_orders_with_their_own_credit(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        await give_credit(session, staff, "100.00")
        order = await an_order(session, staff)

        assert (await pay(as_staff, order, "100.00", "store_credit")).status_code == 201
        assert await balance(session, staff) == 0

    @pytest.mark.parametrize("method", OTHER_METHODS)
    async def test_its_owner_cannot_record_any_other_payment(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, method: str
    ) -> None:
        order = await an_order(session, customer)
        before = await stored(session)

        assert_refused(await pay(as_customer, order, "40.00", method), 403, "Only staff")
        assert await stored(session) == before

    async def test_staff_cannot_spend_the_credit_of_others(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "100.00")
        order = await an_order(session, customer)
        before = await stored(session)

        assert_refused(await pay(as_staff, order, "40.00", "store_credit"), 403, "Only its owner")
        assert await stored(session) == before

    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_for_everybody_else_the_order_does_not_exist(
        self,
        client: AsyncClient,
        as_other_customer: AsyncClient,
        other_customer: User,
        customer: User,
        session: AsyncSession,
        method: str,
    ) -> None:
        await give_credit(session, other_customer, "100.00")
        order = await an_order(session, customer)
        before = await stored(session)

        assert_refused(await pay(as_other_customer, order, "40.00", method), 404)
        assert_refused(await pay(client, order, "40.00", method), 401)
        assert await stored(session) == before

    async def test_an_order_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/orders/1000000/payments", json={"method": "card", "amount": 1})
        assert_refused(response, 404)

    async def test_paid_in_full_the_order_is_confirmed(
        self, as_staff: AsyncClient, staff: User, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        await pay(as_staff, order, "100.00")

        (confirmed,) = await rows(session, Order)
        assert (confirmed.status, confirmed.paid_amount) == (OrderStatus.CONFIRMED, Decimal("100.00"))
        (event,) = await rows(session, OrderEvent)
        assert (event.order_id, event.from_status, event.to_status) == (order.id, "pending", "confirmed")
        assert event.user_id == staff.id
        assert await told(session, customer) == [NotificationKind.PAYMENT_RECEIVED, NotificationKind.ORDER_CONFIRMED]

    async def test_parts_confirm_it_once_they_come_to_the_whole(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "29.99")
        order = await an_order(session, customer)
        statuses = []

        for client, amount, method in (
            (as_staff, "70.00", "card"),
            (as_customer, "29.99", "store_credit"),
            (as_staff, "0.01", "cash"),
        ):
            assert (await pay(client, order, amount, method)).status_code == 201
            statuses += [each.status for each in await rows(session, Order)]

        assert statuses == ["pending", "pending", "confirmed"]
        assert len(await rows(session, OrderEvent)) == 1

    async def test_what_was_given_back_does_not_count(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        await pay(as_staff, order, "60.00")
        (payment,) = await rows(session, Payment)
        assert (await give_back(as_staff, payment, "60.00")).status_code == 201

        assert (await pay(as_staff, order, "40.00")).status_code == 201

        (after,) = await rows(session, Order)
        assert after.status is OrderStatus.PENDING
        assert await rows(session, OrderEvent) == []
        assert NotificationKind.ORDER_CONFIRMED not in await told(session, customer)

    async def test_what_was_given_back_of_another_order_is_no_matter(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        other, order = await an_order(session, customer), await an_order(session, customer)
        await give_back(as_staff, await a_payment(session, other, "60.00"), "60.00")

        await pay(as_staff, order, "60.00")
        await pay(as_staff, order, "40.00")

        assert [each.status for each in await rows(session, Order)] == [OrderStatus.PENDING, OrderStatus.CONFIRMED]

    @pytest.mark.parametrize("status", [OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.DELIVERED])
    async def test_an_order_that_is_further_already_stays_where_it_is(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, status: OrderStatus
    ) -> None:
        order = await an_order(session, customer, status=status)

        assert (await pay(as_staff, order, "100.00")).status_code == 201

        assert [each.status for each in await rows(session, Order)] == [status]
        assert await rows(session, OrderEvent) == []

    @pytest.mark.parametrize(("paid", "amount", "due"), [("0", "100.01", "100.00"), ("60.00", "40.01", "40.00")])
    async def test_more_than_is_due_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, paid: str, amount: str, due: str
    ) -> None:
        order = await an_order(session, customer, paid_amount=Decimal(paid))
        before = await stored(session)

        assert_refused(await pay(as_staff, order, amount), 409, f"Only {due} is due")
        assert await stored(session) == before

    async def test_nothing_is_due_any_more_once_it_is_paid(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        await pay(as_staff, order, "100.00")

        assert_refused(await pay(as_staff, order, "0.01"), 409, "Only 0.00 is due")
        assert len(await rows(session, Payment)) == 1

    async def test_a_cancelled_order_cannot_be_paid(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "100.00")
        order = await an_order(session, customer, status=OrderStatus.CANCELLED)
        before = await stored(session)

        assert_refused(await pay(as_staff, order, "100.00"), 409, "cancelled")
        assert_refused(await pay(as_customer, order, "100.00", "store_credit"), 409, "cancelled")
        assert await stored(session) == before

    async def test_a_reference_is_used_once_per_method(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        first, second = await an_order(session, customer), await an_order(session, customer)
        assert (await pay(as_staff, first, "10.00", "card", reference="R-1")).status_code == 201
        before = await stored(session)

        for order in (first, second):
            response = await pay(as_staff, order, "10.00", "card", reference="R-1")
            assert_refused(response, 409, "method and reference are already taken")
        assert await stored(session) == before

        assert (await pay(as_staff, first, "10.00", "cash", reference="R-1")).status_code == 201
        assert (await pay(as_staff, first, "10.00", "card", reference="r-1")).status_code == 201

    async def test_payments_without_a_reference_are_never_the_same(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        responses = [await pay(as_staff, order, "10.00", reference=None) for _ in range(3)]

        assert [response.status_code for response in responses] == [201] * 3

    async def test_store_credit_that_does_not_cover_it_changes_nothing(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "59.99")
        order = await an_order(session, customer)
        before = await stored(session)

        assert_refused(await pay(as_customer, order, "60.00", "store_credit"), 409, "balance does not cover")
        assert await stored(session) == before

    async def test_who_never_had_store_credit_is_refused_and_gets_no_account(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        before = await stored(session)

        assert_refused(await pay(as_customer, order, "0.01", "store_credit"), 409, "balance does not cover")
        assert await stored(session) == before

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"method": "shells"}, "body.method"),
            ({"method": None}, "body.method"),
            ({"amount": "0"}, "body.amount"),
            ({"amount": "-1"}, "body.amount"),
            ({"amount": "0.001"}, "body.amount"),
            ({"amount": "10000000000"}, "body.amount"),
            ({"amount": "NaN"}, "body.amount"),
            ({"amount": None}, "body.amount"),
            ({"reference": ""}, "body.reference"),
            ({"reference": " "}, "body.reference"),
            ({"reference": "x" * 101}, "body.reference"),
            ({"reference": "a\0b"}, "body.reference"),
            ({"status": "refunded"}, "body.status"),
            ({"refunded_amount": "1"}, "body.refunded_amount"),
            ({"order_id": 1}, "body.order_id"),
        ],
    )
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        order = await an_order(session, customer)

        body = {"method": "card", "amount": "1.00", **change}
        response = await as_staff.post(f"/orders/{order.id}/payments", json=body)

        assert_refused(response, 422, field)
        assert await rows(session, Payment) == []

    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_of_two_at_once_that_together_exceed_what_is_due_one_is_refused(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession, method: str
    ) -> None:
        await give_credit(session, customer, "600.00")
        payer = as_customer if method == "store_credit" else as_staff
        for number in range(6):
            order = await an_order(session, customer)
            both = [pay(as_staff, order, "60.00"), pay(payer, order, "60.00", method)]
            responses = await asyncio.gather(*(both if number % 2 else reversed(both)))
            assert sorted(response.status_code for response in responses) == [201, 409]
        assert {each.paid_amount for each in await rows(session, Order)} == {Decimal("60.00")}
        methods = [each.method for each in await rows(session, Payment)]
        assert len(methods) == 6
        spent = methods.count(PaymentMethod.STORE_CREDIT) * Decimal("60.00")
        assert await balance(session, customer) == Decimal("600.00") - spent
        await assert_the_ledger_is_right(session)

    async def test_of_two_at_once_that_together_exceed_the_credit_one_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "100.00")
        orders = [await an_order(session, customer) for _ in range(2)]

        responses = await asyncio.gather(*(pay(as_customer, order, "60.00", "store_credit") for order in orders))

        assert sorted(response.status_code for response in responses) == [201, 409]
        assert sorted(each.paid_amount for each in await rows(session, Order)) == [0, Decimal("60.00")]
        assert await balance(session, customer) == Decimal("40.00")
        await assert_the_ledger_is_right(session)

    @pytest.mark.parametrize("orders", [1, 2])
    async def test_of_two_at_once_with_the_same_reference_one_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, orders: int
    ) -> None:
        for number in range(6):
            paid = ([await an_order(session, customer) for _ in range(orders)] * 2)[:2]

            responses = await asyncio.gather(*(pay(as_staff, each, "40.00", reference=f"R-{number}") for each in paid))

            done, refused = sorted(responses, key=lambda response: response.status_code)
            assert done.status_code == 201
            assert_refused(refused, 409, "method and reference are already taken")
        assert sum(each.paid_amount for each in await rows(session, Order)) == 6 * 40
        assert len(await rows(session, Payment)) == 6

    async def test_many_at_once_confirm_it_once(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        responses = await asyncio.gather(*(pay(as_staff, order, "10.00") for _ in range(12)))

        assert sorted(response.status_code for response in responses) == [201] * 10 + [409] * 2
        assert [each.status for each in await rows(session, Order)] == ["confirmed"]
        assert len(await rows(session, OrderEvent)) == 1
        assert (await told(session, customer)).count(NotificationKind.ORDER_CONFIRMED) == 1


class TestListOrderPayments:
    async def test_owner_and_staff_see_them_with_their_refunds(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        first, second = await a_payment(session, order, "40.00"), await a_payment(session, order, "60.00")
        for amount in ("1.00", "2.00"):
            await give_back(as_staff, second, amount)

        page = (await as_customer.get(f"/orders/{order.id}/payments")).json()

        assert page == (await as_staff.get(f"/orders/{order.id}/payments")).json()
        assert [item["id"] for item in page["items"]] == [first.id, second.id]
        assert [item["amount"] for item in page["items"]] == ["40.00", "60.00"]
        assert page["items"][0]["refunds"] == []
        assert [each["amount"] for each in page["items"][1]["refunds"]] == ["1.00", "2.00"]
        assert page["items"][1]["refunds"][0].keys() == {"id", "payment_id", "amount", "reason", "created_at"}
        assert page["items"][1]["refunded_amount"] == "3.00"

    async def test_those_of_other_orders_are_left_out(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order, other = await an_order(session, customer), await an_order(session, customer)
        await a_payment(session, other, "40.00")

        assert (await as_customer.get(f"/orders/{order.id}/payments")).json()["items"] == []

    async def test_pages_and_cursors_show_each_once(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        ids = [(await a_payment(session, order, "1.00")).id for _ in range(5)]
        path = f"/orders/{order.id}/payments"

        pages = [(await as_customer.get(path, params={"page": n, "page_size": 2})).json() for n in (1, 2, 3)]
        assert [item["id"] for page in pages for item in page["items"]] == ids
        assert {page["total"] for page in pages} == {5}

        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await as_customer.get(path, params={"cursor": cursor, "page_size": 2})).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert seen == ids

    async def test_for_everybody_else_the_order_does_not_exist(
        self, client: AsyncClient, as_other_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        assert_refused(await as_other_customer.get(f"/orders/{order.id}/payments"), 404)
        assert_refused(await as_other_customer.get("/orders/1000000/payments"), 404)
        assert_refused(await client.get(f"/orders/{order.id}/payments"), 401)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_as_many_statements_whatever_its_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        order = await an_order(session, customer)
        for _ in range(size):
            payment = await a_payment(session, order, "1.00")
            await save(session, *(Refund(payment_id=payment.id, amount=Decimal("0.10"), reason="R") for _ in range(2)))

        with count_statements(database) as statements:
            response = await as_customer.get(f"/orders/{order.id}/payments")
        assert len(response.json()["items"]) == size
        assert len(statements) == 5  # the token, the order, the count, the payments, their refunds


class TestRefundPayment:
    async def test_staff_refund_a_part(
        self, as_staff: AsyncClient, staff: User, customer: User, session: AsyncSession
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")

        response = await give_back(as_staff, payment, "15.50")

        assert response.status_code == 201
        (refund,) = await rows(session, Refund)
        assert response.json() == {
            "id": refund.id,
            "payment_id": payment.id,
            "amount": "15.50",
            "reason": "Scratched",
            "created_at": response.json()["created_at"],
        }
        assert (refund.amount, refund.user_id) == (Decimal("15.50"), staff.id)
        (left,) = await rows(session, Payment)
        assert (left.refunded_amount, left.status) == (Decimal("15.50"), PaymentStatus.COMPLETED)
        assert await rows(session, Transaction) == []

    async def test_all_of_it_given_back_makes_it_refunded(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        payment = await a_payment(session, order, "40.00")

        statuses = []
        for amount in ("15.00", "25.00"):
            await give_back(as_staff, payment, amount)
            statuses += [each.status for each in await rows(session, Payment)]

        assert statuses == ["completed", "refunded"]
        (shown,) = (await as_staff.get(f"/orders/{order.id}/payments")).json()["items"]
        assert (shown["status"], shown["refunded_amount"]) == ("refunded", "40.00")

    @pytest.mark.parametrize(("before", "amount", "left"), [("0", "40.01", "40.00"), ("30.00", "10.01", "10.00")])
    async def test_more_than_is_left_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, before: str, amount: str, left: str
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")
        await session.exec(update(Payment).values(refunded_amount=Decimal(before)))
        unchanged = await stored(session)

        assert_refused(await give_back(as_staff, payment, amount), 409, f"Only {left} is left")
        assert await stored(session) == unchanged

    async def test_store_credit_goes_back_to_the_account_it_came_from(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "100.00")
        order = await an_order(session, customer)
        await pay(as_customer, order, "60.00", "store_credit")
        (payment,) = await rows(session, Payment)

        assert (await give_back(as_staff, payment, "20.00")).status_code == 201

        assert await balance(session, customer) == Decimal("60.00")
        moved = (await rows(session, Transaction))[-1]
        assert (moved.amount, moved.order_id) == (Decimal("20.00"), order.id)
        assert moved.description == f"Refund of {order.order_number}"
        await assert_the_ledger_is_right(session)

    async def test_the_customer_is_told(self, as_staff: AsyncClient, customer: User, session: AsyncSession) -> None:
        order = await an_order(session, customer)
        payment = await a_payment(session, order, "40.00")

        await give_back(as_staff, payment, "15.00")

        (notification,) = await rows(session, Notification)
        assert (notification.user_id, notification.order_id) == (customer.id, order.id)
        assert notification.kind is NotificationKind.PAYMENT_REFUNDED
        assert "15.00" in notification.message
        assert order.order_number in notification.message

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")

        assert_refused(await give_back(client, payment, "1.00"), 401)
        assert_refused(await give_back(as_customer, payment, "1.00"), 403)
        assert await rows(session, Refund) == []

    async def test_a_payment_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.post("/payments/1000000/refunds", json={"amount": 1, "reason": "x"}), 404)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"amount": 0}, "body.amount"),
            ({"amount": -1}, "body.amount"),
            ({"amount": "0.001"}, "body.amount"),
            ({"reason": ""}, "body.reason"),
            ({"reason": None}, "body.reason"),
            ({"reason": "x" * 201}, "body.reason"),
            ({"payment_id": 1}, "body.payment_id"),
            ({"user_id": 1}, "body.user_id"),
        ],
    )
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")

        body = {"amount": "1.00", "reason": "Scratched", **change}
        response = await as_staff.post(f"/payments/{payment.id}/refunds", json=body)

        assert_refused(response, 422, field)
        assert await rows(session, Refund) == []

    async def test_of_two_at_once_that_together_exceed_it_one_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(5):
            payment = await a_payment(session, await an_order(session, customer), "100.00")
            responses = await asyncio.gather(*(give_back(as_staff, payment, "60.00") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [201, 409]
        assert {each.refunded_amount for each in await rows(session, Payment)} == {Decimal("60.00")}
        assert len(await rows(session, Refund)) == 5

    async def test_many_at_once_give_back_no_more_store_credit_than_was_paid(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "100.00")
        await pay(as_customer, await an_order(session, customer), "100.00", "store_credit")
        (payment,) = await rows(session, Payment)

        responses = await asyncio.gather(*(give_back(as_staff, payment, "15.00") for _ in range(10)))

        assert sorted(response.status_code for response in responses) == [201] * 6 + [409] * 4
        assert await balance(session, customer) == Decimal("90.00")
        await assert_the_ledger_is_right(session)


class TestCancelPaidOrder:
    async def placed(self, client: AsyncClient, session: AsyncSession) -> Order:
        """An order of five units at 20.00, out of a stock of ten."""
        number = next(numbers)
        product = Product(
            name=f"Product {number}",
            slug=f"product-{number}",
            sku=f"P-{number}",
            price=Decimal("20.00"),
            stock_quantity=10,
        )
        await save(session, product)
        await save(session, StockMovement(product_id=product.id, delta=10, reason=StockReason.INITIAL))
        response = await client.post("/orders", json={"items": [{"product_id": product.id, "quantity": 5}]})
        return (await session.exec(select(Order).where(Order.id == response.json()["id"]))).one()

    async def assert_undone_once(self, session: AsyncSession) -> None:
        """Nothing is kept of the money, and all the stock is back."""
        stocks = [each.stock_quantity for each in await rows(session, Product)]
        assert set(stocks) == {10}
        assert (await session.exec(select(func.sum(StockMovement.delta)))).one() == sum(stocks)
        for payment in await rows(session, Payment):
            refunds = select(func.sum(Refund.amount)).where(Refund.payment_id == payment.id)
            assert (await session.exec(refunds)).one() == payment.refunded_amount == payment.amount
            assert payment.status is PaymentStatus.REFUNDED
        await assert_the_ledger_is_right(session)

    async def test_what_is_left_of_each_payment_is_refunded(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_credit(session, customer, "60.00")
        order = await self.placed(as_customer, session)
        await pay(as_staff, order, "40.00")
        await pay(as_customer, order, "60.00", "store_credit")
        card, _ = await rows(session, Payment)
        await give_back(as_staff, card, "15.00")

        response = await as_customer.post(f"/orders/{order.id}/cancel")

        assert response.json()["status"] == "cancelled"
        assert [str(each.amount) for each in await rows(session, Refund)] == ["15.00", "25.00", "60.00"]
        assert {each.reason for each in (await rows(session, Refund))[1:]} == {"Order cancelled"}
        assert {each.user_id for each in (await rows(session, Refund))[1:]} == {customer.id}
        assert await balance(session, customer) == Decimal("60.00")
        await self.assert_undone_once(session)

    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_while_a_part_is_refunded(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        customer: User,
        database: Database,
        session: AsyncSession,
        method: str,
    ) -> None:
        await give_credit(session, customer, "100.00")
        for _ in range(12):
            order = await self.placed(as_customer, session)
            await pay(as_customer if method == "store_credit" else as_staff, order, "100.00", method)
            payment = (await rows(session, Payment))[-1]

            cancelled, refunded = await asyncio.gather(
                as_customer.post(f"/orders/{order.id}/cancel"), give_back(as_staff, payment, "30.00")
            )

            assert cancelled.status_code == 200
            refunds = {each.id: each.amount for each in await rows(session, Refund) if each.payment_id == payment.id}
            if refunded.status_code == 201:
                assert refunds.pop(refunded.json()["id"]) == Decimal("30.00")
                assert list(refunds.values()) == [Decimal("70.00")]
            else:
                assert_refused(refunded, 409, "Only 0.00 is left")
                assert list(refunds.values()) == [Decimal("100.00")]
        assert await balance(session, customer) == Decimal("100.00")
        await self.assert_undone_once(session)
        assert await verify(database)

    @pytest.mark.parametrize("amount", ["60.00", "100.00"])
    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_while_it_is_paid(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        customer: User,
        database: Database,
        session: AsyncSession,
        method: str,
        amount: str,
    ) -> None:
        """What comes second sees what the first did: a payment is refused, or refunded, also where it confirmed."""
        await give_credit(session, customer, "100.00")
        payer = as_customer if method == "store_credit" else as_staff
        for number in range(12):
            order = await self.placed(as_customer, session)
            cancelling = as_customer.post(f"/orders/{order.id}/cancel")
            paying = pay(payer, order, amount, method)
            if number % 2:
                cancelled, paid = await asyncio.gather(cancelling, paying)
            else:
                paid, cancelled = await asyncio.gather(paying, cancelling)
            assert cancelled.status_code == 200
            if paid.status_code != 201:
                assert_refused(paid, 409, "A cancelled order cannot be paid.")
        assert {each.status for each in await rows(session, Order)} == {OrderStatus.CANCELLED}
        assert await balance(session, customer) == Decimal("100.00")
        await self.assert_undone_once(session)
        assert await verify(database)
