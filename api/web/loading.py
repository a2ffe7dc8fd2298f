"""Load or 404, what is loaded beside a row, and the values that stand in paths."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from fastapi import Path
from pydantic import AfterValidator
from pydantic import Field as Limits
from sqlalchemy import ColumnElement, inspect
from sqlalchemy.orm import joinedload, load_only, selectinload
from sqlalchemy.sql.base import ExecutableOption
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.texts import composed
from api.models.types import MAX_ID
from api.reads.rows import no_such

T = TypeVar("T", bound=SQLModel)


PathId = Annotated[int, Path(alias="id", ge=1, le=MAX_ID, examples=[1])]
QueryId = Annotated[int, Limits(ge=1, le=MAX_ID, examples=[1])]
PathText = Annotated[str, Path(min_length=1, max_length=300), AfterValidator(composed)]
"""Longer than any text that is looked for by its path; the longest is an e-mail address of 254 characters."""


async def get_or_404(
    session: AsyncSession, model: type[T], row_id: int, *options: ExecutableOption, lock: bool = False
) -> T:
    """The row with this id: see `one_or_404`.

    Raises:
        NotFound: There is none.
    """
    return await one_or_404(session, model, inspect(model).columns["id"] == row_id, options=options, lock=lock)


async def one_or_404(
    session: AsyncSession,
    model: type[T],
    *conditions: ColumnElement[bool] | bool,
    options: Sequence[ExecutableOption] = (),
    lock: bool = False,
) -> T:
    """The one row that the conditions find, with what `options` load beside it.

    Lock a row that is changed by setting its attributes, so that it is neither changed nor deleted meanwhile. A row
    that a conditional UPDATE changes needs no lock: its row count says whether the condition still held.

    Raises:
        NotFound: There is none.
    """
    statement = select(model).where(*conditions).options(*options)
    if lock:
        statement = statement.with_for_update()
    found = (await session.exec(statement)).unique().one_or_none()
    if found is None:
        raise no_such(model)
    return found


def join_one(related: SQLModel | None, *options: ExecutableOption) -> ExecutableOption:
    """Load the one row that a relationship leads to, with the same statement; `options` are about that row."""
    return joinedload(related).options(*options)  # type: ignore[arg-type]


def load_many(related: Sequence[SQLModel], *options: ExecutableOption) -> ExecutableOption:
    """Load the rows that a relationship leads to, with one more statement; `options` are about those rows."""
    return selectinload(related).options(*options)  # type: ignore[arg-type]


def columns_of(model: type[SQLModel], read: type[SQLModel]) -> ExecutableOption:
    """Load only the columns that an answer has, and the version for its ETag; touching another one raises."""
    columns = inspect(model).columns.keys()
    names = {*read.model_fields, "version"}
    return load_only(*(getattr(model, name) for name in columns if name in names), raiseload=True)
