"""Rows as plain objects: the columns of a Read class, out of a transaction, and tracked by no session."""

from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select, inspect
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.reads.plans import plan_for
from api.reads.rows import model_of

R = TypeVar("R", bound=BaseModel)


async def plain_row(session: AsyncSession, statement: Select[Any], read: type[R]) -> R | None:
    """The one row that a statement finds; `read` is a class whose fields are columns, but for those with a default."""
    driver = await driver_of(session)
    columns = inspect(model_of(statement)).columns.keys()
    names = [name for name in read.model_fields if name in columns]
    plan, parameters = plan_for(statement, driver.dialect, ("plain", read), partial(_only, names))
    rows = plan.compiled.converted(await driver.fetch_compiled(plan.compiled, plan.values(parameters, {})))
    return read.model_construct(**dict(zip(names, rows[0], strict=True))) if rows else None


def _only(names: list[str], statement: Select[Any]) -> Select[Any]:
    model = model_of(statement)
    return statement.with_only_columns(*(getattr(model, name) for name in names))
