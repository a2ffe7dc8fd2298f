"""Load or 404, and the values that stand in paths."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Path
from pydantic import AfterValidator
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlalchemy.sql.base import ExecutableOption
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import NotFound
from api.models.base import MAX_ID, without_nul

Table = TypeVar("Table", bound=SQLModel)

PathId = Annotated[int, Path(alias="id", ge=1, le=MAX_ID, examples=[1])]
QueryId = Annotated[int, Limits(ge=1, le=MAX_ID, examples=[1])]
PathText = Annotated[str, Path(min_length=1, max_length=300), AfterValidator(without_nul)]


async def get_or_404(
    session: AsyncSession, model: type[Table], row_id: int, *options: ExecutableOption, lock: bool = False
) -> Table:
    """The row with this id: see `one_or_404`.

    Raises:
        NotFound: There is none.
    """
    return await one_or_404(session, model, model.id == row_id, options=options, lock=lock)  # type: ignore[attr-defined]


async def one_or_404(
    session: AsyncSession,
    model: type[Table],
    *conditions: ColumnElement[bool] | bool,
    options: Sequence[ExecutableOption] = (),
    lock: bool = False,
) -> Table:
    """The one row that the conditions find, with what `options` load beside it.

    With `lock`, it is kept from others until the transaction ends, so that it is not deleted before it is changed.

    Raises:
        NotFound: There is none.
    """
    statement = select(model).where(*conditions).options(*options)
    if lock:
        statement = statement.with_for_update()
    found = (await session.exec(statement)).unique().one_or_none()
    if found is None:
        name = re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__).lower()
        raise NotFound(f"There is no such {name}.")
    return found


def only(model: type[SQLModel], read: type[SQLModel]) -> list[Any]:
    """The columns of a table that an answer has, for `load_only`: what is not asked for is not read."""
    columns = model.__table__.columns  # type: ignore[attr-defined]
    return [getattr(model, name) for name in read.model_fields if name in columns]
