"""What goes to a database in one go, and what comes of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from api.database.statements import Row, Statement

Call = tuple[Statement, dict[str, Any]]
"""A statement with its values."""

SQL = tuple[str, Sequence[Any]]
"""A statement with its values in their order."""


class Answer(Protocol):
    """What a driver was answered to a statement. Its rows can be read until the next one is run."""

    @property
    def row_count(self) -> int: ...

    def fetched(self) -> Sequence[Row]: ...


class Answered(NamedTuple):
    """What came of a statement: how many rows it changed or found, and those that it found."""

    row_count: int
    rows: Sequence[Row]

    def fetched(self) -> Sequence[Row]:
        return self.rows
