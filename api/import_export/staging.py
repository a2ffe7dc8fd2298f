"""Staging: the rows that passed the check, on disk until they are written, so that memory does not grow with the file.

It is a database of SQLite's in a temporary file that has no name, so that nothing is left of it whatever ends the
process. It also finds what stands twice in a file, and what refers to a row of the file that is not there.
"""

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from api.rules.unique_values import Key
from api.web.uploads import no_room

CACHE = 4_096
"""Kilobytes of the file that SQLite keeps in memory."""

TABLES = """
CREATE TABLE staged (line INTEGER PRIMARY KEY, row_id INTEGER, has_slug INTEGER NOT NULL, content BLOB NOT NULL);
CREATE INDEX new ON staged (has_slug, line) WHERE row_id IS NULL;
CREATE INDEX changed ON staged (row_id) WHERE row_id IS NOT NULL;
CREATE TABLE keys (columns TEXT, value TEXT, line INTEGER NOT NULL, PRIMARY KEY (columns, value)) WITHOUT ROWID;
CREATE INDEX claimed ON keys (line);
CREATE TABLE later (line INTEGER, field TEXT, value TEXT, PRIMARY KEY (line, field)) WITHOUT ROWID;
CREATE INDEX referring ON later (value);
"""

BYTES_AT_A_TIME = 1_048_576
"""Bytes after which no other row is added to a part."""


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


class Referring(NamedTuple):
    """A reference to a row of the same file, by its slug or its name."""

    line: int
    field: str
    value: str
    """As the row that has it claims it."""


class Staging:
    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE}"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(TABLES)
        self.count = 0
        """Rows that are to be written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """
        Raises:
            Unavailable: The disk is full.
        """
        self._database.close()
        if isinstance(error, sqlite3.OperationalError):  # one of the shop's own database is an error of SQLAlchemy's
            raise no_room() from error

    def add(self, rows: Sequence[Staged]) -> None:
        content = (
            (each.line, each.row_id, each.values.get("slug") is not None, pickle.dumps((each.values, each.later)))
            for each in rows
        )
        self._database.executemany("INSERT INTO staged VALUES (?, ?, ?, ?)", content)
        later = ((each.line, name, repr((text,))) for each in rows for name, text in each.later.items())
        self._database.executemany("INSERT INTO later VALUES (?, ?, ?)", later)
        self.count += len(rows)

    def claim(self, line: int, keys: Sequence[Key]) -> None:
        """Note that a line has these values, which may stand only once, and which no other line has."""
        claims = ((",".join(columns), repr(values), line) for columns, values in keys)
        self._database.executemany("INSERT INTO keys VALUES (?, ?, ?)", claims)

    def line_of(self, columns: Sequence[str], values: Sequence[Any]) -> int | None:
        """The line that has these values."""
        key = (",".join(columns), repr(tuple(values)))
        found = self._database.execute("SELECT line FROM keys WHERE columns = ? AND value = ?", key)
        return next((line for (line,) in found), None)

    def has_slug(self, slug: str) -> bool:
        """Whether a row of the file has, or is about to get, this slug."""
        return self.line_of(("slug",), (slug,)) is not None

    def is_claimed(self, value: str) -> bool:
        """Whether a row of the file has a value as its slug or its name."""
        named = "SELECT 1 FROM keys WHERE columns IN ('slug', 'name') AND value = ?"
        return self._database.execute(named, (value,)).fetchone() is not None

    def referring(self, size: int) -> Iterator[list[Referring]]:
        """The references to rows of the file, in parts of a statement each, in the order of the file."""
        after = (-1, "")
        statement = "SELECT * FROM later WHERE (line, field) > (?, ?) ORDER BY line, field LIMIT ?"
        while found := [Referring(*each) for each in self._database.execute(statement, (*after, size))]:
            yield found
            after = found[-1][:2]

    def referring_to(self, value: str) -> Referring | None:
        """One of the references to a value."""
        found = self._database.execute("SELECT * FROM later WHERE value = ? LIMIT 1", (value,)).fetchone()
        return found and Referring(*found)

    def drop(self, line: int) -> tuple[Staged, list[str]]:
        """Take back a row, with what it has claimed: return it, and the values by which others may refer to it."""
        (staged,) = self._rows("SELECT line, row_id, content FROM staged WHERE line = ?", line)
        claimed = "SELECT value FROM keys WHERE line = ? AND columns IN ('slug', 'name')"
        values = [value for (value,) in self._database.execute(claimed, (line,))]
        for table in ("staged", "keys", "later"):
            self._database.execute(f"DELETE FROM {table} WHERE line = ?", (line,))  # noqa: S608 - of the names above
        self.count -= 1
        return staged, values

    def new(self, size: int) -> Iterator[list[Staged]]:
        """The rows to insert, in parts, in the order of the file; first those with a slug, which is then not made."""
        yield from self._parts("row_id IS NULL AND has_slug = 1", "line", size)
        yield from self._parts("row_id IS NULL AND has_slug = 0", "line", size)

    def changed(self, size: int) -> Iterator[list[Staged]]:
        """The rows to update, in ascending order of their ids, in which rows are locked."""
        return self._parts("row_id IS NOT NULL", "row_id", size)

    def _parts(self, condition: str, order: str, size: int) -> Iterator[list[Staged]]:
        """In parts of a statement each, which end after so many rows, or bytes."""
        after = -1
        following = f"WHERE {condition} AND {order} > ? ORDER BY {order} LIMIT ?"
        statement = f"SELECT line, row_id, content FROM staged {following}"  # noqa: S608 - of the texts above
        while part := list(self._rows(statement, after, size)):
            after = int(getattr(part[-1], order))
            yield part

    def _rows(self, statement: str, *values: Any) -> Iterator[Staged]:
        size = 0
        with closing(self._database.execute(statement, values)) as found:
            for line, row_id, content in found:
                yield Staged(line, row_id, *pickle.loads(content))  # noqa: S301 - its own
                size += len(content)
                if size >= BYTES_AT_A_TIME:
                    return
