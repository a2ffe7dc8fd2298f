"""What can be done to a row beside editing it: every route below the row's path that writes.

An action is derived from its route. `VARIANTS` says of some what a person calls them, when they make sense, and what
they begin with; a route that is not named there is offered as it stands.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.admin.entities import Entities, Entity
from api.admin.fields import Field, fields_of, query_fields_of
from api.admin.framework_internals import ApiRoute
from api.models.account import ShopAccount
from api.models.order import NEXT_STATUSES, OrderStatus

Values = Mapping[str, Any]


def _always(row: Values) -> bool:
    return True


@dataclass(frozen=True)
class Variant:
    """One way to use a route."""

    label: str
    is_offered: Callable[[Values], bool] = _always
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Fields that nobody fills in, because the label says them."""
    begins_with: Callable[[Values], Mapping[str, str]] = lambda row: {}
    asks: str = ""
    """What to ask before it is done, where it cannot be undone."""
    done: str = ""
    """What to say once it is done, where that is more than a word."""


def _may_become(status: OrderStatus) -> Callable[[Values], bool]:
    return lambda row: status in NEXT_STATUSES[OrderStatus(row["status"])]


def _becomes(label: str, status: OrderStatus) -> Variant:
    return Variant(label, _may_become(status), {"query.new_status": status.value})


VARIANTS: dict[str, list[Variant]] = {
    "PATCH /orders/{id}/status": [
        _becomes("Confirm", OrderStatus.CONFIRMED),
        _becomes("Ship", OrderStatus.SHIPPED),
        _becomes("Deliver", OrderStatus.DELIVERED),
    ],
    "POST /orders/{id}/cancel": [
        Variant(
            "Cancel the order",
            _may_become(OrderStatus.CANCELLED),
            asks="The stock goes back, and what was paid is refunded. A cancelled order stays cancelled.",
        )
    ],
    "POST /orders/{id}/payments": [
        Variant(
            "Record a payment",
            lambda row: row["status"] is not OrderStatus.CANCELLED and row["paid_amount"] < row["total_amount"],
            begins_with=lambda row: {"body.amount": str(row["total_amount"] - row["paid_amount"])},
        )
    ],
    "POST /payments/{id}/refunds": [
        Variant(
            "Refund",
            lambda row: row["refunded_amount"] < row["amount"],
            begins_with=lambda row: {"body.amount": str(row["amount"] - row["refunded_amount"])},
        )
    ],
    "POST /products/{id}/stock": [Variant("Adjust the stock")],
    "POST /accounts/{id}/deposits": [
        Variant("Deposit store credit", lambda row: row["name"] not in (ShopAccount.ISSUED, ShopAccount.SALES))
    ],
    "DELETE /users/{id}/soft": [
        Variant(
            "Deactivate",
            lambda row: bool(row["is_active"]),
            asks="The user is signed out everywhere, and cannot sign in until somebody edits the user.",
        )
    ],
    "POST /webhooks/{id}/secret": [
        Variant(
            "Rotate the secret",
            asks="Deliveries are signed with a new secret from now on, and for 24 hours with the present one too. "
            "The next page alone shows the new one.",
        )
    ],
    "POST /webhooks/{id}/test": [
        Variant("Send a test", done="The test is on its way. In some seconds its delivery says what became of it.")
    ],
    "POST /webhooks/{id}/replay": [Variant("Send events again")],
    "POST /webhook-deliveries/{id}/replay": [Variant("Send again")],
    "POST /notifications/{id}/read": [Variant("Mark as read", lambda row: row["read_at"] is None)],
}


@dataclass(frozen=True)
class Action:
    """A route of an entity's rows, used in one way."""

    entity: Entity
    route: ApiRoute
    variant: Variant
    fields: list[Field]

    @property
    def label(self) -> str:
        return self.variant.label

    @property
    def name(self) -> str:
        """Its part of a path: `record-a-payment`."""
        return re.sub(r"[^a-z0-9]+", "-", self.label.lower()).strip("-")

    @property
    def is_immediate(self) -> bool:
        """Whether a button does it: there is nothing to fill in, and nothing to ask."""
        return not self.fields and not self.variant.asks


def done_text(routes: Iterable[ApiRoute], name: str | None) -> str:
    """What is said after a route has done something, by the name of its function."""
    for route in routes:
        if route.name == name:
            variants = VARIANTS.get(f"{route.method} {route.path}", [])
            return next((each.done for each in variants if each.done), f"{route.summary}: done.")
    return ""


def actions_of(entities: Entities, entity: Entity) -> list[Action]:
    """Everything that can be done to the rows of an entity."""
    if entity.name not in entities.actions:
        entities.actions[entity.name] = list(_derive(entities, entity))
    found: list[Action] = entities.actions[entity.name]
    return found


def _derive(entities: Entities, entity: Entity) -> Iterator[Action]:
    for route in entity.routes:
        if route.method == "GET" or not route.path.startswith(f"{entity.path}/{{id}}/") or route.path.count("{") > 1:
            continue
        fields = [
            *query_fields_of(route.query, entities, entity),
            *fields_of(route.body, entities, _written_by(route, entities, entity)),
        ]
        for variant in VARIANTS.get(f"{route.method} {route.path}", [Variant(route.summary)]):
            yield Action(entity, route, variant, [each for each in fields if each.place not in variant.fixed])


def _written_by(route: ApiRoute, entities: Entities, entity: Entity) -> Entity:
    """The entity whose family the request is of: `StockMovement` of `StockMovementCreate`."""
    families = (each for each in entities.values() if route.body and each.model.__module__ == route.body.__module__)
    return next(families, entity)
