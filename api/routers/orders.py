"""Placing an order takes its stock; cancelling it gives the stock back.
`pending → confirmed → shipped → delivered`, and `cancelled` from `pending` or `confirmed`.
"""

from functools import cache
from typing import Annotated

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, Field
from sqlmodel import bindparam, select
from sqlmodel.sql.expression import SelectOfScalar

from api.auth.callers import CurrentUser, Staff
from api.errors import Forbidden, NotFound
from api.models.order import (
    Order,
    OrderCreate,
    OrderRead,
    OrderReadWithDetails,
    OrderReadWithItems,
    OrderStatus,
    StoredOrder,
    stored_order_number,
)
from api.models.order_event import OrderEvent, OrderEventRead
from api.models.reports import OrderStats
from api.models.types import MAX_ID
from api.models.user import User, UserSummary, any_caller
from api.reads.pages import read_page
from api.reads.plain import PlainStatement
from api.reads.rows import Read, read_one
from api.rules.order_status import change_status
from api.rules.placing import place
from api.rules.revenue import order_stats
from api.web.loading import PathId, PathText, columns_of, get_or_404
from api.web.pagination import CursorPage, Page, Paging, PagingParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import ReadSession, WriteSession

router = Router("/orders", tag="orders")

UserId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]

TypedOrderNumber = Annotated[PathText, AfterValidator(stored_order_number)]


class OrderList(Paging):
    status: OrderStatus | None = Field(default=None, description="Only orders with this status.")


@cache
def _visible_orders(is_superuser: bool) -> SelectOfScalar[Order]:
    """The orders that staff users may read, or the caller. Built once for each, like those below: see products."""
    return select(Order).where(Order.visible_to(any_caller(is_superuser)))


@cache
def _visible_order(is_superuser: bool) -> SelectOfScalar[Order]:
    return _visible_orders(is_superuser).where(Order.id == bindparam("id"))


@cache
def _order_by_id(is_superuser: bool) -> PlainStatement[StoredOrder]:
    return PlainStatement(_visible_order(is_superuser), StoredOrder)


@cache
def _locked_order_by_id(is_superuser: bool) -> PlainStatement[StoredOrder]:
    return PlainStatement(_visible_order(is_superuser).with_for_update(key_share=True), StoredOrder)


async def _order_to_read(order_id: PathId, user: CurrentUser, session: ReadSession) -> StoredOrder:
    return await _order_by_id(user.is_superuser).one_or_404(session, id=order_id, caller_id=user.id)


async def _order_to_write(order_id: PathId, user: CurrentUser, session: WriteSession) -> StoredOrder:
    """Not locked: status and payments change by conditional UPDATEs."""
    return await _order_by_id(user.is_superuser).one_or_404(session, id=order_id, caller_id=user.id)


async def _order_to_advance(order_id: PathId, user: CurrentUser, session: WriteSession) -> StoredOrder:
    """Locked, so that its status stays what an If-Match says."""
    return await _locked_order_by_id(user.is_superuser).one_or_404(session, id=order_id, caller_id=user.id)


OrderToRead = Annotated[StoredOrder, Depends(_order_to_read)]
OrderToWrite = Annotated[StoredOrder, Depends(_order_to_write)]
OrderToAdvance = Annotated[StoredOrder, Depends(_order_to_advance)]


@router.post(
    "",
    status_code=201,
    response_model=OrderReadWithItems,
    responses=problems(403, 409),
)
async def place_order(data: OrderCreate, session: WriteSession, user: CurrentUser) -> OrderReadWithItems:
    """Place an order. It takes the stock and keeps the current names and prices. Lines of one product are merged.

    Staff may order for a customer, by the `user_id` of that customer, and without one for themselves.
    """
    customer_id = data.user_id or user.id
    if not user.may_act_for(customer_id):
        raise Forbidden("Only staff may order for another user.")
    return await place(
        session,
        data.items,
        customer_id=customer_id,
        shipping_address=data.shipping_address,
        placed_by=user.id,
        is_named=data.user_id is not None,
    )


@router.get("", response_model=Page[OrderReadWithItems] | CursorPage[OrderReadWithItems])
async def list_orders(user: CurrentUser, query: Annotated[OrderList, Query()]) -> Read:
    """List the caller's orders, or all orders for staff, with their lines, the newest first."""
    orders = _visible_orders(user.is_superuser)
    if query.status is not None:
        orders = orders.where(Order.status == query.status)
    return read_page(orders, query, caller_id=user.id)


@router.get("/stats/summary")
async def read_order_stats(session: ReadSession, staff: Staff) -> OrderStats:
    """Sum up all orders, by status and by the categories that their products are in today."""
    return await order_stats(session)


@router.get(
    "/user/{user_id}",
    response_model=Page[OrderReadWithItems] | CursorPage[OrderReadWithItems],
    responses=problems(404),
)
async def list_orders_of_user(user_id: UserId, session: ReadSession, user: CurrentUser, paging: PagingParams) -> Read:
    """List a user's orders: the caller's own, or those of any user for staff."""
    if not user.may_act_for(user_id):
        raise NotFound("There is no such user.")
    if user_id != user.id:
        await get_or_404(session, User, user_id, columns_of(User, UserSummary))
    return read_page(select(Order).where(Order.user_id == user_id), paging)


@router.get("/by-number/{order_number}", response_model=OrderReadWithItems, responses=problems(404))
async def read_order_by_number(order_number: TypedOrderNumber, user: CurrentUser) -> Read:
    """Read an order with its lines by its number, as a person types it."""
    orders = _visible_orders(user.is_superuser).where(Order.order_number == order_number)
    return read_one(orders, caller_id=user.id)


@router.get("/{id}", response_model=OrderReadWithItems, responses=problems(404))
async def read_order(order_id: PathId, user: CurrentUser) -> Read:
    """Read an order with its lines."""
    return read_one(_visible_order(user.is_superuser), id=order_id, caller_id=user.id)


@router.get("/{id}/details", response_model=OrderReadWithDetails, responses=problems(404))
async def read_order_details(order_id: PathId, user: CurrentUser) -> Read:
    """Read an order with its user, its lines, and the products as they are today."""
    return read_one(_visible_order(user.is_superuser), id=order_id, caller_id=user.id)


@router.patch("/{id}/status", response_model=OrderRead, responses=problems(404, 409))
async def change_order_status(
    order: OrderToAdvance,
    new_status: Annotated[OrderStatus, Query(description="The status that the order gets.", examples=["confirmed"])],
    session: WriteSession,
    staff: Staff,
) -> StoredOrder:
    """Change the status of an order to one that may follow the current status."""
    return await change_status(session, order, new_status, changed_by=staff.id)


@router.post("/{id}/cancel", response_model=OrderRead, responses=problems(404, 409))
async def cancel_order(order: OrderToWrite, session: WriteSession, user: CurrentUser) -> StoredOrder:
    """Cancel an order before it is shipped. Its stock is returned and its payments are refunded."""
    return await change_status(session, order, OrderStatus.CANCELLED, changed_by=user.id)


@router.get("/{id}/events", response_model=Page[OrderEventRead] | CursorPage[OrderEventRead], responses=problems(404))
async def list_order_events(order: OrderToRead, paging: PagingParams) -> Read:
    """List the changes of an order's status, the oldest first."""
    events = select(OrderEvent).where(OrderEvent.order_id == order.id)
    return read_page(events, paging, sort="id")
