"""What happens in a shop, day by day. The rules are those of requests; only who does what, and when, is drawn."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.demo.agenda import Agenda, Story
from api.demo.customers import address_of
from api.demo.market import Customer, Good, Market
from api.models.account import ShopAccount
from api.models.base import utcnow
from api.models.columns import CENT
from api.models.order import OrderReadWithItems, OrderStatus
from api.models.order_item import OrderItemCreate
from api.models.payment import Payment, PaymentCreate, PaymentMethod
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.rules import ledger, payments, placing, stock
from api.rules.order_status import change_status, confirm_if_paid
from api.rules.orders import stored_order
from api.rules.store_credit import RECEIVER, transfer_credit

LINES, WEIGHTS_OF_LINES = (1, 2, 3, 4), (54, 28, 13, 5)

FEW_UNITS = 6
"""Units of a product at which more are bought in: of three products in four; the fourth one sells out."""

BOUGHT_IN = (20, 30, 40, 60)
AMOUNTS_OF_CREDIT = (10, 20, 25, 50)
REASONS_FOR_CREDIT = ("Gift voucher", "Sorry for the delay", "Happy birthday", "Thank you for recommending us")
REASONS_FOR_REFUND = ("Arrived scratched", "Does not fit", "Ordered one too many", "A part was missing")


class Fate(Enum):
    """How an order goes on once it is placed."""

    PAID = "is paid, and sent"
    PAID_AT_THE_DOOR = "is confirmed, sent, and paid in cash"
    REGRETTED = "is cancelled by its customer within hours"
    NEVER_PAID = "is cancelled by staff after days"
    PAID_AND_REGRETTED = "is cancelled when it is paid, and the money goes back"


FATES = {
    Fate.PAID: 86,
    Fate.PAID_AT_THE_DOOR: 5,
    Fate.REGRETTED: 3,
    Fate.NEVER_PAID: 3,
    Fate.PAID_AND_REGRETTED: 3,
}
"""Of how many orders in a hundred."""

REFUNDED = 0.08
"""The share of delivered orders of which something goes back."""

WHOLLY_REFUNDED = 0.3
"""And the share of these that goes back whole."""

Part = tuple[timedelta, PaymentMethod, Decimal]
"""A payment of a part of an order, or of all of it, and how long after the one before."""


class Stories:
    """Those of one shop, which has goods, customers and staff. Each order that is placed is counted."""

    def __init__(self, market: Market, agenda: Agenda, count: Callable[[int], object]) -> None:
        self._market = market
        self._agenda = agenda
        self._count = count
        self.placed = 0
        self._chance = market.chance

    async def orders(self, moments: Iterable[datetime]) -> Story:
        """Orders come in, at these moments."""
        for moment in moments:
            yield moment - utcnow()
            await self._agenda.begin(self._order(), moment)

    async def credit(self, moments: Iterable[datetime]) -> Story:
        """Customers get store credit, from the shop or from one another."""
        giver: Customer | None = None
        for moment in moments:
            session = yield moment - utcnow()
            customer = self._market.customer(moment)
            amount = Decimal(self._chance.choice(AMOUNTS_OF_CREDIT))
            if giver is not None and giver is not customer and giver.credit >= amount:
                source = await ledger.account_id_of(session, giver.id)
                await self._give_credit(session, source, customer, amount / 2, "For you")
                giver.credit -= amount / 2
                giver = None
            else:
                issued = await ledger.shop_account_id(session, ShopAccount.ISSUED)
                reason = self._chance.choice(REASONS_FOR_CREDIT)
                await self._give_credit(session, issued, customer, amount, reason)
                giver = customer

    async def _give_credit(
        self, session: AsyncSession, source: int, customer: Customer, amount: Decimal, reason: str
    ) -> None:
        target = await ledger.account_id_of(session, customer.id)
        amount = amount.quantize(CENT)
        await transfer_credit(session, source, await RECEIVER.one_or_404(session, account_id=target), amount, reason)
        customer.credit += amount

    async def _order(self) -> Story:
        """An order from the basket on, until it can be sent."""
        session = yield timedelta(0)
        customer, basket = self._market.customer(utcnow()), self._market.basket(self._lines())
        if not basket:
            return
        order = await self._place(session, customer, basket)
        self.placed += 1
        self._count(1)
        for good, quantity in basket:
            await self._take(good, quantity)
        (fate,) = self._chance.choices(list(FATES), list(FATES.values()))
        if fate in (Fate.PAID, Fate.PAID_AND_REGRETTED):
            for delay, method, amount in list(self._parts(order, customer)):
                session = yield delay
                await self._pay(session, order, customer, method, amount)
        match fate:
            case Fate.REGRETTED | Fate.PAID_AND_REGRETTED:
                session = yield self._hours(0.5, 12)
                await self._cancel(session, order, basket, customer.id)
                return
            case Fate.NEVER_PAID:
                session = yield self._hours(24 * 8, 24 * 12)
                await self._cancel(session, order, basket, self._market.on_duty())
                return
            case Fate.PAID_AT_THE_DOOR:
                session = yield self._hours(2, 16)
                await self._advance(session, order, OrderStatus.CONFIRMED)
        await self._agenda.begin(self._shipment(order, customer), utcnow())

    async def _shipment(self, order: OrderReadWithItems, customer: Customer) -> Story:
        """An order on its way; now and then something of it comes back."""
        session = yield self._hours(6, 44)
        await self._advance(session, order, OrderStatus.SHIPPED)
        session = yield self._hours(20, 110)
        await self._advance(session, order, OrderStatus.DELIVERED)
        due = (await stored_order(session, order.id)).due_amount
        if due:
            session = yield self._hours(0.1, 0.5)
            await self._pay(session, order, customer, PaymentMethod.CASH, due)
        if self._chance.random() < REFUNDED:
            session = yield self._hours(24, 24 * 9)
            await self._refund(session, order)

    async def _delivery(self, good: Good) -> Story:
        """More of a product arrives."""
        session = yield self._hours(48, 168)
        note = f"Delivery of {utcnow().day} {utcnow():%B}"
        delta, user_id = self._chance.choice(BOUGHT_IN), self._market.on_duty()
        reason = StockReason.ADJUSTMENT
        await stock.change(
            session, StockMovement(product_id=good.id, delta=delta, reason=reason, note=note, user_id=user_id)
        )
        good.units += delta
        good.is_running_out = False

    async def _place(
        self, session: AsyncSession, customer: Customer, basket: Sequence[tuple[Good, int]]
    ) -> OrderReadWithItems:
        return await placing.place(
            session,
            [OrderItemCreate(product_id=good.id, quantity=quantity) for good, quantity in basket],
            customer_id=customer.id,
            shipping_address=address_of(customer.full_name),
            placed_by=customer.id,
            is_named=False,
        )

    async def _take(self, good: Good, quantity: int) -> None:
        good.units -= quantity
        if good.units <= FEW_UNITS and not good.is_running_out:
            good.is_running_out = True
            if self._chance.random() < 0.75:
                await self._agenda.begin(self._delivery(good), utcnow())

    def _parts(self, order: OrderReadWithItems, customer: Customer) -> Iterator[Part]:
        """How an order is paid: store credit first, then one card in most cases, or a transfer or two."""
        due = order.total_amount
        if credit := min(customer.credit, due):
            customer.credit -= credit  # not to be spent twice meanwhile
            due -= credit
            yield self._hours(0.02, 0.1), PaymentMethod.STORE_CREDIT, credit
        if due and self._chance.random() < 0.8:
            yield self._hours(0.02, 0.2), PaymentMethod.CARD, due
        elif due > 2 * CENT:
            first = due if self._chance.random() < 0.75 else (due / 2).quantize(CENT)
            yield self._hours(18, 72), PaymentMethod.BANK_TRANSFER, first
            if first < due:
                yield self._hours(48, 120), PaymentMethod.BANK_TRANSFER, due - first

    async def _pay(
        self,
        session: AsyncSession,
        order: OrderReadWithItems,
        customer: Customer,
        method: PaymentMethod,
        amount: Decimal,
    ) -> None:
        """Staff record payments; store credit is the customer's own."""
        payer = customer.id if method is PaymentMethod.STORE_CREDIT else self._market.on_duty()
        has_number = method in (PaymentMethod.CARD, PaymentMethod.BANK_TRANSFER)
        reference = f"{method[:2]}_{order.id:x}{self._chance.getrandbits(48):012x}" if has_number else None
        stored = await stored_order(session, order.id)
        data = PaymentCreate(method=method, amount=amount, reference=reference)
        _, stored = await payments.receive(session, stored, data)
        await confirm_if_paid(session, stored, changed_by=payer)

    async def _advance(self, session: AsyncSession, order: OrderReadWithItems, status: OrderStatus) -> None:
        stored = await stored_order(session, order.id)
        await change_status(session, stored, status, changed_by=self._market.on_duty())

    async def _cancel(
        self, session: AsyncSession, order: OrderReadWithItems, basket: Sequence[tuple[Good, int]], by: int
    ) -> None:
        await change_status(session, await stored_order(session, order.id), OrderStatus.CANCELLED, changed_by=by)
        for good, quantity in basket:
            good.units += quantity

    async def _refund(self, session: AsyncSession, order: OrderReadWithItems) -> None:
        """One piece goes back in most cases, or all that was paid at once."""
        largest_first = (col(Payment.amount).desc(), col(Payment.id))
        paid = select(Payment).where(Payment.order_id == order.id).order_by(*largest_first).limit(1)
        payment = (await session.exec(paid)).one()
        piece = self._chance.choice(order.items).unit_price
        amount = payment.amount if self._chance.random() < WHOLLY_REFUNDED else min(piece, payment.amount)
        reason, user_id = self._chance.choice(REASONS_FOR_REFUND), self._market.on_duty()
        refund = Refund(payment_id=payment.id, amount=amount, reason=reason, user_id=user_id)
        await payments.refund(session, payment, refund)

    def _lines(self) -> int:
        return self._chance.choices(LINES, WEIGHTS_OF_LINES)[0]

    def _hours(self, fewest: float, most: float) -> timedelta:
        return timedelta(hours=self._chance.uniform(fewest, most))
