"""Payments and refunds of orders. An order that is paid in full is confirmed."""

from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, Field
from sqlmodel import col, select

from api.auth.callers import CurrentUser, Staff
from api.errors import Forbidden
from api.models.payment import Payment, PaymentCreate, PaymentMethod, PaymentRead, PaymentReadWithRefunds
from api.models.refund import Refund, RefundCreate, RefundRead
from api.models.texts import composed
from api.reads.pages import read_page
from api.reads.rows import Read
from api.routers.orders import OrderToRead, OrderToWrite
from api.rules import payments
from api.rules.order_status import confirm_if_paid
from api.web.loading import PathId, get_or_404
from api.web.pagination import CursorPage, Page, Paging, PagingParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import WriteSession

router = Router("/payments", tag="payments")
under_orders = Router("/orders/{id}/payments", tag="payments")

SentReference = Annotated[str, Field(max_length=100), AfterValidator(composed)]


class PaymentList(Paging):
    reference: SentReference | None = Field(default=None, description="Only payments with this number of a processor.")
    method: PaymentMethod | None = Field(default=None, description="Only payments by this method.")


@under_orders.post(
    "",
    status_code=201,
    response_model=PaymentRead,
    responses=problems(403, 404, 409),
)
async def pay_order(data: PaymentCreate, order: OrderToWrite, session: WriteSession, user: CurrentUser) -> PaymentRead:
    """Pay towards an order: its owner with store credit, staff by any other method. Paid in full, it is confirmed."""
    by_credit = data.method is PaymentMethod.STORE_CREDIT
    if by_credit and order.user_id != user.id:
        raise Forbidden("Only the owner of an order may pay it with store credit.")
    if not by_credit and not user.is_superuser:
        raise Forbidden("Only staff may record payments other than store credit.")
    payment, order = await payments.receive(session, order, data)
    await confirm_if_paid(session, order, changed_by=user.id)
    return payment


@under_orders.get(
    "", response_model=Page[PaymentReadWithRefunds] | CursorPage[PaymentReadWithRefunds], responses=problems(404)
)
async def list_payments_of_order(order: OrderToRead, paging: PagingParams) -> Read:
    """List the payments of an order with their refunds."""
    return read_page(select(Payment).where(Payment.order_id == order.id), paging, sort="id")


@router.get("", response_model=Page[PaymentReadWithRefunds] | CursorPage[PaymentReadWithRefunds])
async def list_payments(staff: Staff, query: Annotated[PaymentList, Query()]) -> Read:
    """List payments with their refunds, the newest first. A `reference` finds the payment that a processor names."""
    payments = select(Payment)
    if query.reference is not None:  # with its method, because together they are the index
        payments = payments.where(Payment.reference == query.reference, col(Payment.method).in_(PaymentMethod))
    if query.method is not None:
        payments = payments.where(Payment.method == query.method)
    return read_page(payments, query)


@router.post(
    "/{id}/refunds",
    status_code=201,
    response_model=RefundRead,
    responses=problems(404, 409),
)
async def refund_payment(payment_id: PathId, data: RefundCreate, session: WriteSession, staff: Staff) -> Refund:
    """Refund a payment, in part or in full; store credit goes back to the account that it came from."""
    payment = await get_or_404(session, Payment, payment_id)
    refund = Refund.model_validate(data, update={"payment_id": payment.id, "user_id": staff.id})
    return await payments.refund(session, payment, refund)
