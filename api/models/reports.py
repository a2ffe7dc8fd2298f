"""Answers that sum up many rows and so belong to no entity."""

from typing import Annotated

from pydantic import Field as Limits

from api.models.base import Schema
from api.models.category import CategoryName
from api.models.money import Money
from api.models.order import OrderStatus
from api.models.types import Count, Id
from api.models.user import UserSummary

CategoryOrNone = Annotated[CategoryName | None, Limits(examples=["Audio"])]


class ActiveCount(Schema):
    """How many users there are. Erased users do not count."""

    total: Annotated[int, Limits(examples=[120])]
    active: Annotated[int, Limits(examples=[100])]
    inactive: Annotated[int, Limits(examples=[20])]


class UsersChanged(Schema):
    """How many users a bulk operation changed."""

    changed: Count


class TopSpender(Schema):
    """A user, and the sum of the user's orders. Cancelled orders do not count."""

    user: UserSummary
    orders: Count
    spent: Money


class CategoryStats(Schema):
    """The active products of one category; `category_id` is null for products without a category."""

    category_id: Id | None
    category: CategoryOrNone
    products: Count
    in_stock: Annotated[int, Limits(description="Products with at least one unit.", examples=[10])]
    units: Annotated[int, Limits(description="Units in stock.", examples=[480])]
    average_price: Money
    lowest_price: Money
    highest_price: Money


class CategorySales(Schema):
    """What one category sold; `category_id` is null for products without a category."""

    category_id: Id | None
    category: CategoryOrNone
    units: Count
    revenue: Money


class StatusCount(Schema):
    """The orders in one status."""

    status: OrderStatus
    orders: Count
    amount: Money


class OrderStats(Schema):
    """All orders at a glance. Cancelled orders do not count as revenue."""

    total_orders: Count
    total_revenue: Money
    average_order_value: Money
    by_status: list[StatusCount]
    by_category: list[CategorySales]
