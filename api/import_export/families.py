"""What can be exported: every class family with a Read class, found by its table and not named here.

Here stands only what does not follow from the families: which rows of a table have a name of their own, and which Read
class of an order has its lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from sys import modules
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select, inspect
from sqlmodel import col, not_, select

from api import models  # noqa: F401 - all table classes
from api.import_export.references import REFERENCES, Reference
from api.models.base import table_classes
from api.models.notification import Notification
from api.models.order import Order, OrderReadWithItems
from api.models.order_item import OrderItem
from api.models.token import Token
from api.models.user import User

LINES: dict[type[Any], tuple[type[BaseModel], str]] = {Order: (OrderReadWithItems, "items")}
"""The Read class whose rows have lines, and the field that holds them: in CSV each line is a row."""


NOT_EXPORTED: dict[type[Any], str] = {
    Token: "a token is its user's, and staff do not see those of others",
    Notification: "a notification is its user's, and staff do not see those of others",
    OrderItem: "orders have their lines",
}
"""Families with a Read class that nobody exports, each with the reason."""


@dataclass(frozen=True)
class Export:
    """What a file of rows holds."""

    name: str
    rows: Select[Any]
    read: type[BaseModel]
    lines: str | None = None
    references: Sequence[Reference] = ()

    @property
    def columns(self) -> list[str]:
        """The columns of the CSV, and the fields of the JSON: those of the Read class, with slugs in place of ids."""
        names = {each.field: each.name for each in self.references}
        return [names.get(field, field) for field in self.read.model_fields]


@cache
def exports() -> dict[str, Export]:
    """All exports by their names, such as `products` and `stock-movements`."""
    found = [export for model in table_classes() if (export := _export_of(model))]
    users = next(each for each in found if each.name == "users")
    customers = Export("customers", users.rows.where(not_(col(User.is_superuser))), users.read)
    return {each.name: each for each in sorted([*found, customers], key=lambda each: each.name)}


def export_of(name: str, rows: Select[Any]) -> Export:
    """An export of some rows of a table, such as those that a filter finds."""
    whole = exports()[name]
    return Export(whole.name, rows, whole.read, whole.lines, whole.references)


def _export_of(model: type[Any]) -> Export | None:
    """`None` where the family has no Read class, so that nobody is shown its rows."""
    if model in NOT_EXPORTED:
        return None
    read, lines = LINES.get(model, (getattr(modules[model.__module__], f"{model.__name__}Read", None), None))
    if read is None:
        return None
    rows = select(model)
    if hasattr(model, "not_erased"):
        rows = rows.where(model.not_erased())
    name = str(inspect(model).local_table.name).replace("_", "-")
    return Export(name, rows, read, lines, REFERENCES.get(model, ()))
