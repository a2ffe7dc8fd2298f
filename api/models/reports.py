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

GrossRevenue = Annotated[Money, Limits(description="The sum of what was ordered and not cancelled, before refunds.")]
NetRevenue = Annotated[Money, Limits(description="Net: `gross_revenue` less `refunded_amount`.")]


class ActiveCount(Schema):
    """How many users there are. Erased users do not count."""

    total: Annotated[int, Limits(examples=[120])]
    active: Annotated[int, Limits(examples=[100])]
    inactive: Annotated[int, Limits(examples=[20])]


class UsersChanged(Schema):
    """How many users a bulk operation changed."""

    changed: Count


class AccountStats(Schema):
    """All accounts at one moment."""

    accounts: Annotated[Count, Limits(description="All accounts, the shop's own too.")]
    customer_accounts: Annotated[Count, Limits(description="The accounts of users.")]
    total_balance: Annotated[Money, Limits(description="Of all accounts together: always zero.", examples=["0.00"])]
    customer_balance: Annotated[Money, Limits(description="Store credit that users hold, and that the shop owes.")]
    issued_balance: Annotated[
        Money, Limits(description="Of the shop's account for issued credit: below zero by all that was issued.")
    ]
    sales_balance: Annotated[
        Money, Limits(description="Of the shop's account for sales: paid by store credit, less refunds.")
    ]


class TopSpender(Schema):
    """A user, and what the user spent. Cancelled orders do not count."""

    user: UserSummary
    orders: Annotated[Count, Limits(description="Orders that are not cancelled, those that were refunded too.")]
    spent: Annotated[Money, Limits(description="The sum of these orders, less what was refunded of them.")]


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
    units: Annotated[Count, Limits(description="Units that were ordered. A refund returns money, and no units.")]
    gross_revenue: GrossRevenue
    refunded_amount: Annotated[
        Money,
        Limits(
            description="What was refunded of these orders. A refund of an order counts for each of its lines in "
            "proportion to the line's total, to the cent."
        ),
    ]
    revenue: NetRevenue


class StatusCount(Schema):
    """The orders in one status."""

    status: OrderStatus
    orders: Count
    amount: Annotated[Money, Limits(description="The sum of their totals, before refunds.")]
    refunded_amount: Annotated[Money, Limits(description="What was refunded of them.")]


class OrderStats(Schema):
    """All orders at a glance. Cancelled orders, and what was refunded of them, do not count as revenue."""

    total_orders: Annotated[Count, Limits(description="All orders, cancelled ones too.")]
    gross_revenue: GrossRevenue
    refunded_amount: Annotated[Money, Limits(description="What was refunded of the orders that are not cancelled.")]
    total_revenue: NetRevenue
    average_order_value: Annotated[
        Money, Limits(description="`total_revenue` by the number of orders that are not cancelled.")
    ]
    by_status: list[StatusCount]
    by_category: Annotated[list[CategorySales], Limits(description="The first 1,000 categories by name.")]
