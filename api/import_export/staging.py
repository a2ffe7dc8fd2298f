"""Staging: the rows that passed the check, on disk until they are written, so that memory does not grow with the file.

It is a database of SQLite's in a temporary file that has no name, so that nothing is left of it whatever ends the
process. It also finds what stands twice in a file.
"""

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

CACHE = 4_096
"""Kilobytes of the file that SQLite keeps in memory."""

TABLES = """
CREATE TABLE staged (line INTEGER PRIMARY KEY, row_id INTEGER, has_slug INTEGER NOT NULL, content BLOB NOT NULL);
CREATE TABLE keys (columns TEXT, value TEXT, line INTEGER NOT NULL, PRIMARY KEY (columns, value)) WITHOUT ROWID;
"""


@dataclass
class Staged:
    """A row that is to be written."""

    line: int
    row_id: int | None
    """The row that it changes; `None` where it is new."""

    values: dict[str, Any]
    """Of a new row all that the file says, of a changed one what differs."""

    later: dict[str, str] = field(default_factory=dict)
    """References to rows of the same file, which are set once those are written."""


class Staging:
    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE}"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def add(self, rows: Sequence[Staged]) -> None:
        content = (
            (each.line, each.row_id, each.values.get("slug") is not None, pickle.dumps((each.values, each.later)))
            for each in rows
        )
        self._database.executemany("INSERT INTO staged VALUES (?, ?, ?, ?)", content)

    def claim(self, columns: Sequence[str], values: Sequence[Any], line: int) -> int | None:
        """Note that a line has these values, which may stand only once; where another has them, return that line."""
        named, value = ",".join(columns), repr(tuple(values))
        if (other := self._line_of(named, value)) is None:
            self._database.execute("INSERT INTO keys VALUES (?, ?, ?)", (named, value, line))
        return None if other == line else other

    def line_of(self, columns: Sequence[str], values: Sequence[Any]) -> int | None:
        """The line that has these values."""
        return self._line_of(",".join(columns), repr(tuple(values)))

    def _line_of(self, named: str, value: str) -> int | None:
        found = self._database.execute("SELECT line FROM keys WHERE columns = ? AND value = ?", (named, value))
        return next((line for (line,) in found), None)

    def drop(self, line: int) -> None:
        self._database.execute("DELETE FROM staged WHERE line = ?", (line,))

    def new(self, size: int) -> Iterator[list[Staged]]:
        """The rows to insert, in parts, in the order of the file; first those with a slug, which is then not made."""
        yield from self._parts("row_id IS NULL AND has_slug", "line", size)
        yield from self._parts("row_id IS NULL AND NOT has_slug", "line", size)

    def changed(self, size: int) -> Iterator[list[Staged]]:
        """The rows to update, in ascending order of their ids, in which rows are locked."""
        return self._parts("row_id IS NOT NULL", "row_id", size)

    def referring(self, size: int) -> Iterator[list[Staged]]:
        """The rows that refer to others of the file."""
        for part in self._parts("1 = 1", "line", size):
            if found := [each for each in part if each.later]:
                yield found

    def _parts(self, condition: str, order: str, size: int) -> Iterator[list[Staged]]:
        """In parts of a statement each, so that rows may be dropped meanwhile."""
        after = -1
        following = f"WHERE {condition} AND {order} > ? ORDER BY {order} LIMIT ?"
        statement = f"SELECT line, row_id, content FROM staged {following}"  # noqa: S608 - of the texts above
        while found := self._database.execute(statement, (after, size)).fetchall():
            part = [Staged(line, row_id, *pickle.loads(content)) for line, row_id, content in found]  # noqa: S301 - its own
            after = int(getattr(part[-1], order))
            yield part
