"""Rows that a transaction collects, and writes at its end, before it commits.

They follow what becomes of the transaction: forgotten where it is rolled back, and undone with a savepoint.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table

from api.database.statements import Statement


class Waiting(ABC):
    """The rows of one table."""

    table: Table

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._savepoints: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def wait(self, **row: Any) -> None:
        """Have a row written at the end."""
        self._rows.append(row)

    def take(self, most: int) -> list[dict[str, Any]]:
        """So many of the rows at most, which are then forgotten here."""
        taken, self._rows = self._rows[:most], self._rows[most:]
        return taken

    def shared(self) -> dict[str, Any]:
        """The columns that have one value in all rows."""
        return {}

    @abstractmethod
    def insertion(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Statement, dict[str, Any]]:
        """The one statement that inserts rows which were taken, and its values."""

    def forget(self) -> None:
        """Everything was undone."""
        self._rows.clear()

    def note_savepoint(self, savepoint: Hashable) -> None:
        self._savepoints[savepoint] = len(self._rows)

    def undo_savepoint(self, savepoint: Hashable) -> None:
        """What came since was undone."""
        del self._rows[self._savepoints[savepoint] :]
