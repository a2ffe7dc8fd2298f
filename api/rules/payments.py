"""Payments and refunds: never more than is due, and never more back than was paid.

Rows are locked in one order everywhere: order, payment, accounts. So requests never deadlock.
"""

from decimal import Decimal

from sqlmodel import bindparam, col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Insertion, Statement
from api.database.trail import record_change
from api.errors import Conflict
from api.models.account import ShopAccount
from api.models.columns import Cents
from api.models.event import EventType
from api.models.notification import NotificationKind
from api.models.order import Order, OrderStatus, StoredOrder
from api.models.payment import Payment, PaymentCreate, PaymentMethod, PaymentRead, PaymentStatus
from api.models.refund import Refund
from api.rules import ledger
from api.rules.events import record_event
from api.rules.notifications import notify
from api.rules.orders import change_order

PAID_AMOUNT = col(Order.paid_amount) + bindparam("amount", type_=Cents)
ADD_PAID_AMOUNT = Statement(
    update(Order)
    .where(
        col(Order.id) == bindparam("order_id"),
        col(Order.status) != OrderStatus.CANCELLED,
        col(Order.total_amount) >= PAID_AMOUNT,
    )
    .values(paid_amount=PAID_AMOUNT, updated_at=bindparam("now")),
    recorded=True,
)
MAX_REFUNDS = 100
"""Refunds of one payment in part: they all stand in one answer, with their payment."""

REFUNDED_AMOUNT = col(Order.refunded_amount) + bindparam("amount", type_=Cents)
ADD_REFUNDED_AMOUNT = Statement(
    update(Order)
    .where(col(Order.id) == bindparam("order_id"), col(Order.paid_amount) >= REFUNDED_AMOUNT)
    .values(refunded_amount=REFUNDED_AMOUNT, updated_at=bindparam("now")),
    recorded=True,
)
INSERT_PAYMENT = Insertion(Payment)


async def receive(session: AsyncSession, order: StoredOrder, data: PaymentCreate) -> tuple[PaymentRead, StoredOrder]:
    """Take a payment towards an order; store credit is moved to the shop's sales in the same transaction.

    Raises:
        Conflict: The order is cancelled, less than this is due, or the store credit does not cover it.
    """
    added, order = await change_order(session, order.id, ADD_PAID_AMOUNT, amount=data.amount)
    if not added:
        if order.status is OrderStatus.CANCELLED:
            raise Conflict("A cancelled order cannot be paid.")
        raise Conflict(f"The amount exceeds the amount due for this order ({order.due_amount}).")
    record_change(session, Order, order.id, paid_amount=(order.paid_amount - data.amount, order.paid_amount))
    row = INSERT_PAYMENT.values(order_id=order.id, method=data.method, amount=data.amount, reference=data.reference)
    driver = await driver_of(session)
    payment = PaymentRead.model_construct(id=await driver.insert(INSERT_PAYMENT, **row), **row)
    record_event(session, EventType.PAYMENT_RECEIVED, Payment, payment.id, payment)
    if data.method is PaymentMethod.STORE_CREDIT:
        await _move_credit(session, order, data.amount, back=False)
    message = f"We received {data.amount} for your order {order.order_number}."
    await notify(session, order.user_id, NotificationKind.PAYMENT_RECEIVED, message, order_id=order.id)
    return payment, order


async def refund(session: AsyncSession, payment: Payment, given: Refund) -> Refund:
    """Give back a part of a payment, or all of it; store credit goes back to the account that it came from.

    Raises:
        Conflict: The amount exceeds what is left of the payment, or it was refunded in too many parts.
    """
    # It locks the order, too. What exceeds all payments of the order exceeds this one, which is refused below.
    added, order = await change_order(session, payment.order_id, ADD_REFUNDED_AMOUNT, amount=given.amount)
    if added:
        before = order.refunded_amount - given.amount
        record_change(session, Order, order.id, refunded_amount=(before, order.refunded_amount))
    refunded = col(Payment.refunded_amount) + given.amount
    within = await session.exec(
        update(Payment)
        .where(col(Payment.id) == payment.id, refunded <= col(Payment.amount))
        .values(refunded_amount=refunded)
    )
    await session.refresh(payment)
    if within.rowcount == 0:
        raise Conflict(
            f"The amount exceeds the refundable amount of this payment ({payment.amount - payment.refunded_amount})."
        )
    if payment.refunded_amount == payment.amount:
        payment.status = PaymentStatus.REFUNDED
    elif await _number_of_refunds(session, payment) >= MAX_REFUNDS:
        raise Conflict(f"A payment has at most {MAX_REFUNDS} refunds in part: refund all that is left of it.")
    session.add(given)
    await session.flush()
    record_event(session, EventType.PAYMENT_REFUNDED, Payment, payment.id, given)
    if payment.method is PaymentMethod.STORE_CREDIT:
        await _move_credit(session, order, given.amount, back=True)
    message = f"We refunded {given.amount} of your order {order.order_number}."
    await notify(session, order.user_id, NotificationKind.PAYMENT_REFUNDED, message, order_id=order.id)
    return given


async def _number_of_refunds(session: AsyncSession, payment: Payment) -> int:
    return (await session.exec(select(func.count()).where(Refund.payment_id == payment.id))).one()


async def refund_all(session: AsyncSession, order: StoredOrder, *, reason: str, user_id: int) -> None:
    """Give back what is left of an order's payments."""
    of_order = select(Payment).where(Payment.order_id == order.id).order_by(col(Payment.id)).with_for_update()
    for payment in (await session.exec(of_order)).all():
        left = payment.amount - payment.refunded_amount
        if left:
            await refund(session, payment, Refund(payment_id=payment.id, amount=left, reason=reason, user_id=user_id))


async def _move_credit(session: AsyncSession, order: StoredOrder, amount: Decimal, *, back: bool) -> None:
    credit = await ledger.account_id_of(session, order.user_id)
    sales = await ledger.shop_account_id(session, ShopAccount.SALES)
    source, target = (sales, credit) if back else (credit, sales)
    description = f"{'Refund of' if back else 'Payment for'} {order.order_number}"
    await ledger.post(session, source, target, amount, description=description, order_id=order.id)
