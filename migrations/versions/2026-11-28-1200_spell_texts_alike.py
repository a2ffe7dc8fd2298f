"""Spell texts alike.

Letters are composed (NFC) and usernames are lower case, as requests are now. Two rows that would become one, and texts
that would not fit into their column any more, stop the upgrade before anything is changed. Rows that are spelled so already, which is nearly all, are not written.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

from api.models import columns
from migrations import online

revision = "a93c6f2e51d8"
down_revision = "e4a8d17c5b02"
branch_labels = None
depends_on = None

BATCH = 5_000
MAX_NAMED = 20
"""Rows that a message names."""


def composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


UNIQUE = {
    ("users", "username", None): str.lower,
    ("categories", "name", None): composed,
    ("tags", "name", None): composed,
    ("products", "name", "category_id"): composed,
}
"""A table, its unique column, and the column within whose values it is unique."""

OTHERS = (
    ("categories", "description", None),
    ("users", "full_name", None),
    ("users", "bio", None),
    ("posts", "title", None),
    ("posts", "content", None),
    ("products", "description", None),
)


class Change(NamedTuple):
    """A row whose text is spelled in another way from now on."""

    row_id: int
    group: int | None
    before: str
    after: str


def upgrade() -> None:
    if op.get_context().as_sql:
        op.execute("UPDATE users SET username = lower(username) WHERE username <> lower(username)")
        return  # the rest takes Unicode's tables; a database has none, or its own
    changes = {where: list(_changes(*where, alike)) for where, alike in UNIQUE.items()}
    collisions = [each for where, found in changes.items() for each in _collisions(*where, found)]
    too_long = [each for where in (*UNIQUE, *OTHERS) for each in _too_long(*where)]
    refusal = ""
    if collisions:
        refusal += f"Some rows would have the same name, which is unique: {_some(collisions)}. Rename one of each. "
    if too_long:
        refusal += f"Some texts would be too long when their letters are composed: {_some(too_long)}. Shorten each. "
    if refusal:
        raise CommandError(f"{refusal}Then upgrade again.")
    for (table, column, _), found in changes.items():
        _write(table, column, found)
    for where in OTHERS:
        _write(where[0], where[1], list(_changes(*where, composed)))


def downgrade() -> None:
    """The spelling stays: nothing tells how a text was spelled before, and the older release reads both."""


def _table(name: str, column: str, within: str | None) -> sa.TableClause:
    others = [sa.column(within, columns.BigInt())] if within else []
    return sa.table(name, sa.column("id", columns.BigInt()), sa.column(column, columns.UnicodeString()), *others)


def _rows(name: str, column: str, within: str | None) -> sa.Select[Any]:
    rows = _table(name, column, within)
    return sa.select(rows.c.id, rows.c[within] if within else sa.null(), rows.c[column])


def _changes(name: str, column: str, within: str | None, alike: Callable[[str], str]) -> Iterator[Change]:
    rows, last_id = _rows(name, column, within), 0
    row_id, text = rows.selected_columns.id, rows.selected_columns[column]
    batch = rows.where(text.is_not(None)).order_by(row_id).limit(BATCH)
    while found := op.get_bind().execute(batch.where(row_id > last_id)).all():
        changes = (Change(each_id, group, before, alike(before)) for each_id, group, before in found)
        yield from (change for change in changes if change.after != change.before)
        last_id = found[-1][0]


def _collisions(name: str, column: str, within: str | None, changes: Sequence[Change]) -> Iterator[str]:
    """The rows that would have one text, such as "users 1 'Admin' and 7 'admin'"; NULL is no group of its own."""
    alike: dict[tuple[int | None, str], dict[int, str]] = defaultdict(dict)
    for row_id, group, before, after in changes:
        if not within or group is not None:
            alike[group, after][row_id] = before
    rows, wanted = _rows(name, column, within), [after for _, after in alike]
    for start in range(0, len(wanted), BATCH):
        spelled_so = rows.where(rows.selected_columns[column].in_(wanted[start : start + BATCH]))
        for row_id, group, text in op.get_bind().execute(spelled_so):
            if (group, text) in alike:
                alike[group, text][row_id] = text
    for those in alike.values():
        (first, text), *others = sorted(those.items())
        yield from (f"{name} {first} {text!r} and {other} {spelled!r}" for other, spelled in others)


def _too_long(name: str, column: str, within: str | None) -> Iterator[str]:
    """The rows whose text would not fit into its column: a few letters, such as U+0958, are two when composed."""
    kind = next(each["type"] for each in sa.inspect(op.get_bind()).get_columns(name) if each["name"] == column)
    limit: int | None = getattr(kind, "length", None)
    if limit is None:  # a column of long texts
        return
    for change in _changes(name, column, within, composed):
        if len(change.after) > limit:
            yield f"{name} {change.row_id}, whose {column} would have {len(change.after)} characters of {limit}"


def _some(found: Sequence[str]) -> str:
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return f"{'; '.join(found[:MAX_NAMED])}{more}"


def _write(name: str, column: str, changes: Sequence[Change]) -> None:
    if not changes:
        return
    rows = _table(name, column, None)
    unchanged = (rows.c.id == sa.bindparam("row_id"), rows.c[column] == sa.bindparam("before"))
    statement = sa.update(rows).where(*unchanged).values({column: sa.bindparam("after", type_=columns.UnicodeString())})
    with online.by_itself(name):
        for start in range(0, len(changes), BATCH):
            op.get_bind().execute(statement, [change._asdict() for change in changes[start : start + BATCH]])
