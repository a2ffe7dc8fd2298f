"""The actions of the admin: each calls a route of the API, so the same rules apply, and a form acts once."""

from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.forms import Form
from api.admin.in_process import Answer
from api.models.account import Account
from api.models.order import OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import Payment, PaymentMethod
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.user import User
from tests.admin.support import Browser, fields_of, links_of, words_of
from tests.factories import a_notification, a_payment, a_product, a_token, a_user, an_account, an_order
from tests.house.hostile_values import LONG

OFFERED = {
    OrderStatus.PENDING: ["Confirm", "Cancel the order", "Record a payment"],
    OrderStatus.CONFIRMED: ["Ship", "Cancel the order", "Record a payment"],
    OrderStatus.SHIPPED: ["Deliver", "Record a payment"],
    OrderStatus.DELIVERED: ["Record a payment"],
    OrderStatus.CANCELLED: [],
}
LABELS = {"Confirm", "Ship", "Deliver", "Cancel the order", "Record a payment"}


class TestOrders:
    @pytest.mark.parametrize("status", OrderStatus)
    async def test_an_order_offers_what_its_status_allows(
        self, admin: Browser, session: AsyncSession, status: OrderStatus
    ) -> None:
        order = await an_order(session, status=status)
        html = await admin.open(f"/orders/{order.id}")
        shown = {each for each in LABELS if f">{each}</button>" in html or f">{each}</a>" in html}
        assert shown == set(OFFERED[status])

    async def test_an_order_is_shipped_once_by_one_press(
        self, admin: Browser, session: AsyncSession, staff: User
    ) -> None:
        order = await an_order(session, status=OrderStatus.CONFIRMED)
        fields = fields_of(await admin.open(f"/orders/{order.id}"))
        for _ in range(2):
            shipped = await admin.post(f"/admin/orders/{order.id}/do/ship", data=fields)
            assert shipped.headers["location"] == f"/admin/orders/{order.id}?done=change_order_status"

        await session.refresh(order)
        assert order.status is OrderStatus.SHIPPED
        events = (await session.exec(select(OrderEvent).where(OrderEvent.to_status == OrderStatus.SHIPPED))).all()
        assert [each.user_id for each in events] == [staff.id]

    async def test_a_status_that_may_not_follow_is_refused(self, admin: Browser, session: AsyncSession) -> None:
        order = await an_order(session, status=OrderStatus.DELIVERED)
        refused = await admin.submit(f"/orders/{order.id}/do/ship")
        assert refused.status_code == 409
        assert "An order with the status delivered cannot change to shipped." in words_of(refused.text)

    async def test_the_status_of_a_button_cannot_be_replaced(self, admin: Browser, session: AsyncSession) -> None:
        order = await an_order(session, status=OrderStatus.CONFIRMED)
        await admin.submit(f"/orders/{order.id}/do/ship", {"query.new_status": "cancelled"})
        await session.refresh(order)
        assert order.status is OrderStatus.SHIPPED

    async def test_cancelling_asks_first_and_gives_back_stock_and_money(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="10.00", stock_quantity=5)
        order = await an_order(session, None, (product, 2))
        await a_payment(session, order)
        assert "what was paid is refunded" in words_of(await admin.open(f"/orders/{order.id}/do/cancel-the-order"))

        assert (await admin.submit(f"/orders/{order.id}/do/cancel-the-order")).status_code == 303

        await session.refresh(order)
        await session.refresh(product)
        assert (order.status, order.refunded_amount) == (OrderStatus.CANCELLED, Decimal("20.00"))
        assert product.stock_quantity == 5

    async def test_a_payment_begins_with_what_is_due_and_confirms_the_order(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        order = await an_order(session, total="100.00", paid_amount="30.00")
        path = f"/orders/{order.id}/do/record-a-payment"
        assert fields_of(await admin.open(path))["body.amount"] == "70.00"
        too_much = await admin.submit(path, amount="71", method="cash")
        assert too_much.status_code == 409
        assert "exceeds the amount due" in words_of(too_much.text)

        assert (await admin.submit(path, method="cash")).status_code == 303

        await session.refresh(order)
        assert (order.paid_amount, order.status) == (Decimal("100.00"), OrderStatus.CONFIRMED)

    async def test_staff_cannot_pay_with_the_credit_of_a_customer(self, admin: Browser, session: AsyncSession) -> None:
        order = await an_order(session)
        refused = await admin.submit(f"/orders/{order.id}/do/record-a-payment", method="store_credit")
        assert refused.status_code == 403
        assert "Only the owner of an order may pay it with store credit." in words_of(refused.text)


class TestMoneyAndStock:
    async def test_a_refund_is_given_once(self, admin: Browser, session: AsyncSession, staff: User) -> None:
        payment = await a_payment(session, await an_order(session, total="40.00"))
        path = f"/payments/{payment.id}/do/refund"
        fields = fields_of(await admin.open(path))
        assert fields["body.amount"] == "40.00"
        fields |= {"body.amount": "15.00", "body.reason": "Arrived scratched"}
        for _ in range(2):
            given = await admin.post(f"/admin{path}", data=fields)
            assert given.headers["location"] == f"/admin/payments/{payment.id}?done=refund_payment"

        (refund,) = (await session.exec(select(Refund))).all()
        assert (refund.amount, refund.reason, refund.user_id) == (Decimal("15.00"), "Arrived scratched", staff.id)
        refused = await admin.submit(path, amount="26", reason="x")
        assert refused.status_code == 409
        assert "refundable amount of this payment (25.00)" in words_of(refused.text)

    async def test_stock_is_adjusted_by_a_movement(self, admin: Browser, session: AsyncSession, staff: User) -> None:
        product = await a_product(session, stock_quantity=5)
        path = f"/products/{product.id}/do/adjust-the-stock"
        refused = await admin.submit(path, delta="-6", reason="Counted")
        assert refused.status_code == 409
        assert "The stock must stay between 0 and" in words_of(refused.text)

        assert (await admin.submit(path, delta="-2", reason="Counted")).status_code == 303

        await session.refresh(product)
        assert product.stock_quantity == 3
        moved = (await session.exec(select(StockMovement).order_by(col(StockMovement.id).desc()))).first()
        assert moved is not None
        assert (moved.delta, moved.reason, moved.note) == (-2, StockReason.ADJUSTMENT, "Counted")
        assert moved.user_id == staff.id

    async def test_store_credit_is_deposited(self, admin: Browser, session: AsyncSession) -> None:
        account = await an_account(session)
        path = f"/accounts/{account.id}/do/deposit-store-credit"
        assert (await admin.submit(path, amount="25", description="Happy birthday")).status_code == 303
        await session.refresh(account)
        assert account.balance == Decimal("25.00")
        shop = (await session.exec(select(Account).where(col(Account.user_id).is_(None)))).first()
        assert shop is not None
        assert "deposit-store-credit" not in await admin.open(f"/accounts/{shop.id}")

    async def test_a_payment_that_went_back_whole_offers_no_refund(self, admin: Browser, session: AsyncSession) -> None:
        payment = await a_payment(session, await an_order(session))
        assert links_of(await admin.open(f"/payments/{payment.id}"), f"/payments/{payment.id}/do/")
        await session.exec(update(Payment).values(refunded_amount=Payment.amount))
        assert not links_of(await admin.open(f"/payments/{payment.id}"), f"/payments/{payment.id}/do/")


class TestOthers:
    async def test_a_user_is_deactivated_and_signed_out(self, admin: Browser, session: AsyncSession) -> None:
        user = await a_user(session)
        await a_token(session, user)
        assert (await admin.submit(f"/users/{user.id}/do/deactivate")).status_code == 303
        await session.refresh(user)
        assert not user.is_active
        assert "do/deactivate" not in await admin.open(f"/users/{user.id}")

    async def test_an_own_notification_is_marked_as_read(
        self, admin: Browser, session: AsyncSession, staff: User
    ) -> None:
        notification = await a_notification(session, staff)
        marked = await admin.post(f"/admin/notifications/{notification.id}/do/mark-as-read")
        assert marked.status_code == 303
        await session.refresh(notification)
        assert notification.read_at is not None

    async def test_an_action_that_does_not_exist_is_a_page(self, admin: Browser, session: AsyncSession) -> None:
        order = await an_order(session)
        for path in (f"/orders/{order.id}/do/explode", "/orders/999/do/ship", f"/categories/{order.id}/do/ship"):
            await admin.open(path, 404)
            assert (await admin.post(f"/admin{path}")).status_code == 404


@pytest.mark.hostile
async def test_hostile_actions_are_refused_and_change_nothing(admin: Browser, session: AsyncSession) -> None:
    product = await a_product(session, price="10.00", stock_quantity=5)
    order = await an_order(session, None, (product, 1))
    payment = await a_payment(session, order, "1.00", PaymentMethod.CASH)
    account = await an_account(session, balance="1.00")
    texts = [
        "",
        "\0",
        "x",
        "0",
        "-0",
        "NaN",
        "Infinity",
        "1e5",
        "9" * 40,
        "0.001",
        "\u0661",
        "'--",
        LONG,
        "true",
        "[]",
        "\ufffd",
    ]
    for path in (
        f"/products/{product.id}/do/adjust-the-stock",
        f"/orders/{order.id}/do/record-a-payment",
        f"/payments/{payment.id}/do/refund",
        f"/accounts/{account.id}/do/deposit-store-credit",
    ):
        opened = fields_of(await admin.open(path))
        for name in ("body.delta", "body.amount", "key"):
            for text in texts:
                refused = await admin.post(f"/admin{path}", data={**opened, name: text})
                assert refused.status_code in (409, 422), (path, name, text[:40])
    await session.refresh(product)
    await session.refresh(account)
    assert (product.stock_quantity, account.balance) == (4, Decimal("1.00"))
    assert (await session.exec(select(Refund))).all() == []


async def test_the_trail_has_the_request_id_of_the_page(
    admin: Browser, as_staff: AsyncClient, session: AsyncSession
) -> None:
    product = await a_product(session)

    saved = await admin.submit(f"/products/{product.id}/edit", name="New")

    entries = (await as_staff.get("/audit", params={"entity": "products", "row_id": product.id})).json()["items"]
    assert entries[0]["request_id"] == saved.headers["X-Request-ID"]


@pytest.mark.parametrize(("retry_after", "keeps_its_key"), [("1", True), (None, False)])
def test_a_form_keeps_its_key_while_its_request_may_be_done(retry_after: str | None, keeps_its_key: bool) -> None:
    """A 409 says that the first request is still in progress: with another key it would be done twice."""
    form = Form([])
    key, headers = form.key, {"retry-after": retry_after} if retry_after else {}

    form.refused(Answer(409, headers, {"detail": "A request with this Idempotency-Key is in progress."}))

    assert (form.key == key) == keeps_its_key
