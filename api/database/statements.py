"""Statements that are compiled once for each kind of database: their SQL, and how values get into it and out of it.

No session sees them, so one that changes what the audit trail follows says that its change is recorded where it is run.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Protocol

from sqlalchemy import BindParameter, ClauseElement, Column, Delete, Dialect, Insert, Table, Update, inspect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel, bindparam, func, insert, select

from api.database.sqlalchemy_internals import values_of
from api.database.versions import raising_versions
from api.models.audit_entry import INSERT_ONLY, AuditEntry
from api.models.audited import audited_names

Row = Sequence[Any]
Processor = Callable[[Any], Any]


class Recorder(Protocol):
    """The audit trail of a transaction: `api/database/trail.py`."""

    def created(self, table: str, row_id: int, values: Mapping[str, Any]) -> None: ...


class CompiledStatement:
    """A statement on one kind of database. Values go through the types of their columns, both ways."""

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        if isinstance(statement, Update):
            statement = raising_versions(statement)
        compiled = statement.compile(dialect=_with_positions(dialect))
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"{statement} is no statement")
        prefetched = [*compiled.insert_prefetch, *compiled.update_prefetch]
        if prefetched:  # a session would compute them
            raise TypeError(f"the statement gives no value to {', '.join(map(str, prefetched))}")
        self._expanded = compiled if compiled.post_compile_params else None  # which takes five times as much memory
        self._binds = {name: _to_database(bind.type, dialect) for name, bind in compiled.binds.items()}
        self.sql = str(compiled)
        self.constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        """The values that the statement itself has."""
        self.keys = {name: bind.key for name, bind in compiled.binds.items()}
        self._positions = [(name, self._binds[name]) for name in compiled.positiontup or ()]
        columns = getattr(statement, "exported_columns", ())
        self._columns = [_from_database(column.type, dialect) for column in columns]
        self._converts = any(self._columns)
        self.has_rows = bool(self._columns)

    def with_values(self, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        """The SQL, and its values in their order.

        Raises:
            KeyError: A parameter has no value.
        """
        if self._expanded is not None:
            return self._with_lists(self._expanded, values)
        return self.sql, [
            values[name] if process is None else process(values[name]) for name, process in self._positions
        ]

    def _with_lists(self, compiled: SQLCompiler, values: Mapping[str, Any]) -> tuple[str, Sequence[Any]]:
        """An `IN` has as many parameters as its list has members."""
        state = compiled.construct_expanded_state(dict(values))
        origin = {part: name for name, parts in state.parameter_expansion.items() for part in parts}
        found = []
        for name in state.positiontup or ():
            process = self._binds[origin.get(name, name)]
            value = state.parameters[name]
            found.append(value if process is None else process(value))
        return state.statement, found

    def converted(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Rows with the Python values of their columns."""
        if not self._converts:
            return rows
        return [
            [value if process is None else process(value) for value, process in zip(row, self._columns, strict=True)]
            for row in rows
        ]


class Statement:
    """A statement that is always the same but for its values, which `bindparam`s name.

    It is compiled when it is run for the first time on a kind of database. `recorded` says that an entry of the audit
    trail is made of what it changes, where it is run.

    Raises:
        TypeError: It changes what the trail follows, and is not recorded; or it changes an entry of the trail.
    """

    def __init__(self, statement: ClauseElement, *, recorded: bool = False) -> None:
        changed = _audited_by(statement)
        if changed and not recorded:
            raise TypeError(f"nobody records a change of {changed}: call `record_change`, and say `recorded=True`")
        self._statement = statement
        self._compiled: dict[Dialect, CompiledStatement] = {}

    def on(self, dialect: Dialect) -> CompiledStatement:
        found = self._compiled.get(dialect)
        if found is None:
            found = self._compiled[dialect] = CompiledStatement(self._statement, dialect)
        return found


def _audited_by(statement: ClauseElement) -> str | None:
    """What a statement changes that the audit trail follows, in words."""
    if not isinstance(statement, Insert | Update | Delete) or not isinstance(statement.table, Table):
        return None
    if statement.table.name == AuditEntry.__tablename__ and not isinstance(statement, Insert):
        raise TypeError(INSERT_ONLY)
    names = audited_names(statement.table)
    changed = names & values_of(statement).keys() if isinstance(statement, Update) else names
    return f"{statement.table.name}.{min(changed)}" if changed else None


class Insertion:
    """An INSERT of rows of one table class, with the defaults that the class has.

    With `has_ids`, the rows have their ids already (`api/database/row_ids.py`).
    """

    def __init__(self, model: type[SQLModel], *, has_ids: bool = False) -> None:
        self._model = model
        self._table: Table = inspect(model).local_table
        self._columns = [column for column in self._table.columns if has_ids or column.name != "id"]
        fields = {column.name: model.model_fields[column.name] for column in self._columns}
        self._defaults = {name: None if field.is_required() else field.default for name, field in fields.items()}
        self._factories: dict[str, Any] = {
            name: field.default_factory for name, field in fields.items() if field.default_factory
        }

    def record(self, trail: Recorder | None, row_id: int, values: Mapping[str, Any]) -> None:
        """Record a row that was inserted, where its table is in the audit trail.

        Raises:
            RuntimeError: It was inserted outside of a transaction.
        """
        if audited_names(self._table):
            if trail is None:
                raise RuntimeError(f"{self._table.name} are audited: insert their rows in a transaction.")
            trail.created(self._table.name, row_id, values)

    def values(self, **given: Any) -> dict[str, Any]:
        """The values of all columns."""
        made = {name: make() for name, make in self._factories.items() if name not in given}
        return self._defaults | made | given

    def parameters(self) -> dict[str, BindParameter[Any]]:
        """A parameter for each column."""
        return {each.name: self._parameter(each) for each in self._columns}

    @cached_property
    def numbered(self) -> "Insertion":
        """The same of rows that have their ids already."""
        return Insertion(self._model, has_ids=True)

    @cached_property
    def one(self) -> Statement:
        return Statement(insert(self._table).values(self.parameters()))

    @cached_property
    def recorded(self) -> Statement:
        """The same for `DriverConnection.insert`, which records it."""
        return Statement(insert(self._table).values(self.parameters()), recorded=True)

    @cached_property
    def recorded_returning_id(self) -> Statement:
        inserted = insert(self._table).values(self.parameters()).returning(self._table.c.id)
        return Statement(inserted, recorded=True)

    @cache  # noqa: B019 - one for each number of rows, of which there are a hundred
    def many(self, rows: int, *returning: str) -> Statement:
        """Inserts several rows at once; their parameters are numbered."""
        values = [{each.name: self._parameter(each, row) for each in self._columns} for row in range(rows)]
        statement = insert(self._table).values(values)
        return Statement(statement.returning(*(self._table.c[name] for name in returning)) if returning else statement)

    def _parameter(self, column: Column[Any], row: int | None = None) -> BindParameter[Any]:
        return bindparam(numbered(column.name, row) if row is not None else column.name, type_=column.type)


LAST_INSERT_ID = Statement(select(func.last_insert_id()))
"""For MySQL, which has no INSERT … RETURNING."""


def numbered(name: str, row: int) -> str:
    """The parameter of one of several rows."""
    return f"{name}__{row}"


def numbered_values(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters of all rows of an `Insertion.many`."""
    return {numbered(name, row): value for row, values in enumerate(rows) for name, value in values.items()}


@cache
def _with_positions(dialect: Dialect) -> Dialect:
    """The dialect with parameters in an order: psycopg takes PostgreSQL's own `$1` without looking through the SQL."""
    if dialect.name != "postgresql":
        return dialect
    kind: Any = type(dialect)
    numbering: Dialect = kind(paramstyle="numeric_dollar")
    return numbering


def _to_database(kind: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _from_database(kind: TypeEngine[Any], dialect: Dialect) -> Processor | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
