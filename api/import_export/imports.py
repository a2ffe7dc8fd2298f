"""What can be imported, and what is told of an import.

A file is read twice: `checks.py` looks at every row and writes nothing, `writing.py` then writes what differs, in one
transaction. Between the two, the rows are staged on disk. `running.py` puts both together.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel, Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.passwords import hash_password
from api.import_export import categories
from api.import_export.references import REFERENCES, Reference
from api.import_export.staging import Staging
from api.models.category import Category, CategoryCreate, CategoryRead, CategoryUpdate
from api.models.product import Product, ProductCreate, ProductRead, ProductUpdate
from api.models.types import Count
from api.models.user import Password, ProfileUpdate, User, UserBase, UserRead
from api.rules import category_tree, products
from api.rules.events import record_registrations

MAX_PROBLEMS = 100
"""Mistakes that a report names, as many as another refusal names; the number of wrong rows is exact."""


class RowProblem(BaseModel):
    """What is wrong with a row of a file."""

    line: int = Field(description="The line of the file that the row begins at.", examples=[3])
    field: str = Field(description="The column; empty where the row as a whole is wrong.", examples=["price"])
    message: str = Field(examples=["Input should be greater than 0"])

    @property
    def place(self) -> str:
        return f"line {self.line}.{self.field}" if self.field else f"line {self.line}"

    @classmethod
    def at(cls, place: str, message: str) -> "RowProblem":
        """Of its place, as a refusal names it."""
        line, _, field = place.removeprefix("line ").partition(".")
        return cls(line=int(line), field=field, message=message)


class ImportReport(BaseModel):
    """What an import did or, in a dry run, would do."""

    dry_run: bool = Field(default=False, description="Whether nothing was written on purpose.", examples=[False])
    rows: Count = Field(default=0, description="Rows of the file.")
    created: Count = 0
    updated: Count = 0
    unchanged: Count = Field(default=0, description="Rows that say what is stored already.")
    bad: Count = Field(default=0, description="Rows that are wrong, and were not imported.", examples=[0])
    problems: list[RowProblem] = Field(
        default_factory=list, description="What is wrong with the bad rows: the first 100 mistakes."
    )
    stock_kept: Count = Field(
        default=0,
        description="Products whose stock differs from the file and was kept: a file does not undo what was sold "
        "since, but for `stock=true`.",
    )
    not_imported: list[str] = Field(
        default_factory=list,
        description="Columns of which what the file says does not count: the shop sets them itself, or, as the "
        "password of a user, only for a new row.",
        examples=[["id", "created_at", "updated_at"]],
    )


class Options(NamedTuple):
    """How a file is imported."""

    dry_run: bool = False
    """Check all rows, and write nothing."""

    skip_bad_rows: bool = False
    """Import the good rows although others are wrong."""

    stock: bool = False
    """Set the stock of products that exist to that of the file, by stock movements."""


Add = Callable[[AsyncSession, Sequence[Any], int | None, Staging], Awaitable[Any]]
"""Adds rows that were checked, of which all are staged; `int` is the id of whoever imports."""


async def _as_they_are(rows: Sequence[BaseModel]) -> list[dict[str, Any]]:
    return [{name: getattr(each, name) for name in each.model_fields_set} for each in rows]


@dataclass(frozen=True)
class Import:
    """A class family whose rows can be imported."""

    model: type[Any]
    create: type[BaseModel]
    update: type[BaseModel]
    read: type[BaseModel]
    keys: Sequence[str]
    """The first of these that a row has says which row of the shop it is."""

    add: Add
    stock: str | None = None
    """The field that is set when a row is added, and later only on demand."""

    prepare: Callable[[Sequence[BaseModel]], Awaitable[list[dict[str, Any]]]] = _as_they_are
    """What is staged of new rows."""

    finish: Callable[[AsyncSession, Staging], Awaitable[None]] | None = None
    """Writes what refers to other rows of the file, once those are written, and in the same transaction."""

    lock: Callable[[AsyncSession], Awaitable[None]] | None = None
    """Locks all that `finish` will lock, before any row of it is locked, so that locks are taken in one order."""

    finished: frozenset[str] = frozenset()
    """The fields that `finish` writes."""

    @property
    def references(self) -> Sequence[Reference]:
        return REFERENCES.get(self.model, ())


class ImportedUser(UserBase):
    """A user who comes from a file. Without a password, nobody can sign in as this user."""

    password: Password | None = None


async def _add_products(session: AsyncSession, rows: Sequence[Any], user_id: int | None, staging: Staging) -> None:
    data = [ProductCreate.model_construct(**each) for each in rows]
    await products.add(session, data, user_id, in_list=True, is_reserved=staging.has_slug)


async def _add_users(session: AsyncSession, rows: Sequence[Any], user_id: int | None, staging: Staging) -> None:
    users = [User(**each) for each in rows]
    session.add_all(users)
    await session.flush()
    record_registrations(session, users)


async def _with_hashes(rows: Sequence[BaseModel]) -> list[dict[str, Any]]:
    """Passwords are hashed before the transaction, one by one, because each takes about 20 ms."""
    staged = await _as_they_are(rows)
    for each in staged:
        password = each.pop("password", None)
        each["hashed_password"] = await hash_password(password) if password else ""
    return staged


@cache
def imports() -> dict[str, Import]:
    """All imports by the names of their entities."""
    return {
        "products": Import(
            Product, ProductCreate, ProductUpdate, ProductRead, ("sku",), _add_products, stock="stock_quantity"
        ),
        "categories": Import(
            Category,
            CategoryCreate,
            CategoryUpdate,
            CategoryRead,
            ("slug", "name"),
            categories.add,
            finish=categories.set_parents,
            lock=category_tree.lock,
            finished=frozenset({categories.PARENT}),
        ),
        "users": Import(
            User, ImportedUser, ProfileUpdate, UserRead, ("email", "username"), _add_users, prepare=_with_hashes
        ),
    }
