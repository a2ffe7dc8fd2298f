"""/orders: place, follow and cancel orders. Customers see their own, staff all."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from sqlalchemy import ColumnElement, and_, func
from sqlalchemy.orm import joinedload, load_only, selectinload
from sqlmodel import col, select

from api.auth import CurrentUser, Staff
from api.database import ReadSession, WriteSession
from api.errors import Forbidden, NotFound, problems
from api.loading import PathId, get_or_404, one_or_404, only
from api.models import (
    Category,
    CategorySales,
    Order,
    OrderCreate,
    OrderEvent,
    OrderEventRead,
    OrderItem,
    OrderRead,
    OrderReadWithDetails,
    OrderReadWithItems,
    OrderStats,
    OrderStatus,
    Payment,
    PaymentCreate,
    PaymentMethod,
    PaymentRead,
    PaymentReadWithRefunds,
    Product,
    StatusCount,
    User,
    UserSummary,
)
from api.models.base import MAX_ID, average
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.rules import orders as rules
from api.rules import payments
from api.transactions import Idempotent, TransactionRoute

router = APIRouter(prefix="/orders", tags=["orders"], route_class=TransactionRoute)

with_items = selectinload(Order.items)  # type: ignore[arg-type]
with_user = joinedload(Order.user).load_only(*only(User, UserSummary), raiseload=True)  # type: ignore[arg-type]
with_details = (with_user, with_items.joinedload(OrderItem.product))  # type: ignore[arg-type]

UserId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]
StatusFilter = Annotated[OrderStatus | None, Query(description="Only orders with this status.")]


async def _own(order_id: PathId, user: CurrentUser) -> ColumnElement[bool]:
    """The order, where the caller may see it."""
    return and_(col(Order.id) == order_id, user.sees(Order.user_id))


OwnOrder = Annotated[ColumnElement[bool], Depends(_own)]


async def _order(own: OwnOrder, session: ReadSession) -> Order:
    return await one_or_404(session, Order, own)


async def _order_to_write(own: OwnOrder, session: WriteSession) -> Order:
    return await one_or_404(session, Order, own)


OrderDep = Annotated[Order, Depends(_order)]
OrderToWrite = Annotated[Order, Depends(_order_to_write)]


@router.post(
    "",
    status_code=201,
    response_model=OrderReadWithItems,
    responses=problems(403, 409),
    dependencies=[Idempotent],
)
async def place_order(data: OrderCreate, session: WriteSession, user: CurrentUser) -> Order:
    """Place an order: the stock is taken, names and prices are frozen. Equal products become one line."""
    customer_id = data.user_id or user.id
    if not user.may_act_for(customer_id):
        raise Forbidden("Only staff may order for somebody else.")
    return await rules.place(
        session,
        data.items,
        customer_id=customer_id,
        shipping_address=data.shipping_address,
        placed_by=user.id,
    )


@router.get("", response_model=Page[OrderReadWithItems] | CursorPage[OrderReadWithItems])
async def list_orders(
    session: ReadSession, user: CurrentUser, paging: PagingParams, status: StatusFilter = None
) -> Page[Order] | CursorPage[Order]:
    """List one's orders, or everybody's as staff, with their lines, the newest first."""
    orders = select(Order).where(user.sees(Order.user_id)).options(with_items)
    if status is not None:
        orders = orders.where(Order.status == status)
    return await paginate(session, orders, paging, model=Order)


@router.get("/stats/summary")
async def read_order_stats(session: ReadSession, staff: Staff) -> OrderStats:
    """Sum up all orders, by status and by the categories that their products are in today."""
    count, amount = func.count(), func.sum(Order.total_amount)
    by_status = [
        StatusCount(status=OrderStatus(status), orders=orders, amount=total)
        for status, orders, total in await session.exec(
            select(Order.status, count, amount).group_by(col(Order.status)).order_by(col(Order.status))
        )
    ]
    valid = [each for each in by_status if each.status is not OrderStatus.CANCELLED]
    revenue = sum((each.amount for each in valid), start=Decimal("0.00"))
    return OrderStats(
        total_orders=sum(each.orders for each in by_status),
        total_revenue=revenue,
        average_order_value=average(revenue, sum(each.orders for each in valid)),
        by_status=by_status,
        by_category=await _category_sales(session),
    )


async def _category_sales(session: ReadSession) -> list[CategorySales]:
    statement = (
        select(col(Category.id), col(Category.name), func.sum(OrderItem.quantity), func.sum(OrderItem.total_price))
        .select_from(OrderItem)
        .join(Order, col(OrderItem.order_id) == col(Order.id))
        .join(Product, col(OrderItem.product_id) == col(Product.id))
        .outerjoin(Category, col(Product.category_id) == col(Category.id))
        .where(Order.status != OrderStatus.CANCELLED)
        .group_by(col(Category.id), col(Category.name))
        .order_by(col(Category.name).is_(None), col(Category.name))
    )
    return [
        CategorySales(category_id=category_id, category=name, units=units, revenue=revenue)
        for category_id, name, units, revenue in await session.exec(statement)
    ]


@router.get(
    "/user/{user_id}",
    response_model=Page[OrderReadWithItems] | CursorPage[OrderReadWithItems],
    responses=problems(404),
)
async def list_user_orders(
    user_id: UserId, session: ReadSession, user: CurrentUser, paging: PagingParams
) -> Page[Order] | CursorPage[Order]:
    """List a user's orders: one's own, or anybody's as staff."""
    if not user.may_act_for(user_id):
        raise NotFound("There is no such user.")
    if user_id != user.id:
        await get_or_404(session, User, user_id, load_only(*only(User, UserSummary)))
    orders = select(Order).where(Order.user_id == user_id).options(with_items)
    return await paginate(session, orders, paging, model=Order)


@router.get("/{id}", response_model=OrderReadWithItems, responses=problems(404))
async def read_order(own: OwnOrder, session: ReadSession) -> Order:
    """Read an order with its lines."""
    return await one_or_404(session, Order, own, options=[with_items])


@router.get("/{id}/details", response_model=OrderReadWithDetails, responses=problems(404))
async def read_order_details(own: OwnOrder, session: ReadSession) -> Order:
    """Read an order with its user, its lines, and the products as they are today."""
    return await one_or_404(session, Order, own, options=with_details)


@router.patch("/{id}/status", response_model=OrderRead, responses=problems(404, 409))
async def change_order_status(
    order: OrderToWrite,
    new_status: Annotated[OrderStatus, Query(description="What the order is to become.", examples=["confirmed"])],
    session: WriteSession,
    staff: Staff,
) -> Order:
    """Bring an order to its next status: confirmed, shipped, delivered, or cancelled before it is shipped."""
    return await rules.change_status(session, order, new_status, changed_by=staff.id)


@router.post("/{id}/cancel", response_model=OrderRead, responses=problems(404, 409))
async def cancel_order(order: OrderToWrite, session: WriteSession, user: CurrentUser) -> Order:
    """Cancel an order that has not been shipped: its stock comes back, and so does what was paid."""
    return await rules.change_status(session, order, OrderStatus.CANCELLED, changed_by=user.id)


@router.get("/{id}/events", response_model=Page[OrderEventRead] | CursorPage[OrderEventRead], responses=problems(404))
async def list_order_events(
    order: OrderDep, session: ReadSession, paging: PagingParams
) -> Page[OrderEvent] | CursorPage[OrderEvent]:
    """List how an order got to its status, from the start."""
    events = select(OrderEvent).where(OrderEvent.order_id == order.id)
    return await paginate(session, events, paging, model=OrderEvent, sort="id")


@router.post(
    "/{id}/payments",
    status_code=201,
    tags=["payments"],
    response_model=PaymentRead,
    responses=problems(403, 404, 409),
    dependencies=[Idempotent],
)
async def pay_order(data: PaymentCreate, order: OrderToWrite, session: WriteSession, user: CurrentUser) -> Payment:
    """Pay towards an order: its owner with store credit, staff by any other method. Paid in full, it is confirmed."""
    own_credit = data.method is PaymentMethod.STORE_CREDIT
    if own_credit and order.user_id != user.id:
        raise Forbidden("Only its owner may pay an order with store credit.")
    if not own_credit and not user.is_superuser:
        raise Forbidden("Only staff may record payments other than store credit.")
    payment = Payment.model_validate(data, update={"order_id": order.id})
    await payments.receive(session, order, payment)
    await rules.confirm_if_paid(session, order, changed_by=user.id)
    return payment


@router.get(
    "/{id}/payments",
    tags=["payments"],
    response_model=Page[PaymentReadWithRefunds] | CursorPage[PaymentReadWithRefunds],
    responses=problems(404),
)
async def list_order_payments(
    order: OrderDep, session: ReadSession, paging: PagingParams
) -> Page[Payment] | CursorPage[Payment]:
    """List what was paid towards an order, with refunds."""
    received = select(Payment).where(Payment.order_id == order.id).options(selectinload(Payment.refunds))  # type: ignore[arg-type]
    return await paginate(session, received, paging, model=Payment, sort="id")
