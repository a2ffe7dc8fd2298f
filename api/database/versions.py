"""Versions that rise with an UPDATE of many rows; a session raises those of the rows that it flushes."""

from functools import cache

from sqlalchemy import Table, Update, event
from sqlalchemy.orm import ORMExecuteState

from api.database.sqlalchemy_internals import ConnectingSession, values_of
from api.models.base import model_of_table
from api.models.versioned import Versioned


def raising_versions(statement: Update) -> Update:
    """An UPDATE that also raises the version, where it writes what people edit."""
    table = statement.table
    if not isinstance(table, Table):
        return statement
    written = values_of(statement).keys()
    if "version" in written or not written & _edited_columns(table):
        return statement
    return statement.values(version=table.c.version + 1)


@cache
def _edited_columns(table: Table) -> frozenset[str]:
    model = model_of_table(table)
    return model.edited_columns() if model is not None and issubclass(model, Versioned) else frozenset()


@event.listens_for(ConnectingSession, "do_orm_execute")
def _raise_versions(state: ORMExecuteState) -> None:
    if isinstance(state.statement, Update):
        state.statement = raising_versions(state.statement)
