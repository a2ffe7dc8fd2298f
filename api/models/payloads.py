"""What the `data` of each type of event is: a class of answers."""

from api.models.base import Schema
from api.models.event import EventType
from api.models.order import OrderRead, OrderReadWithItems
from api.models.payment import PaymentRead
from api.models.product import ProductStock
from api.models.refund import RefundRead
from api.models.user import ErasedUser, UserRead

PAYLOADS: dict[EventType, type[Schema]] = {
    EventType.ORDER_PLACED: OrderReadWithItems,
    EventType.ORDER_CONFIRMED: OrderRead,
    EventType.ORDER_SHIPPED: OrderRead,
    EventType.ORDER_DELIVERED: OrderRead,
    EventType.ORDER_CANCELLED: OrderRead,
    EventType.PAYMENT_RECEIVED: PaymentRead,
    EventType.PAYMENT_REFUNDED: RefundRead,
    EventType.STOCK_LOW: ProductStock,
    EventType.USER_REGISTERED: UserRead,
    EventType.USER_ERASED: ErasedUser,
}

SUBJECTS = {"order": "orders", "payment": "payments", "stock": "products", "user": "users"}
"""Whose row an event tells of, as the first part of its `subject`, by the first word of its type."""
