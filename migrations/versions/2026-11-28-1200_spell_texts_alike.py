"""Spell texts alike.

Letters are composed (NFC) and usernames are lower case, as requests are now. Two rows that would become one stop the
upgrade before anything is changed. Rows that are spelled so already, which is nearly all, are not written.
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
"""Collisions that a message names."""


def composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


UNIQUE = {
    ("users", "username", None): str.lower,
    ("categories", "name", None): composed,
    ("tags", "name", None): composed,
    ("products", "name", "category_id"): composed,
}
"""A table, its unique column, and the column within whose values it is unique."""

OTHERS = {
    "categories": ("description",),
    "users": ("full_name", "bio"),
    "posts": ("title", "content"),
    "products": ("description",),
}


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
    if collisions:
        more = f" and {len(collisions) - MAX_NAMED} more" if len(collisions) > MAX_NAMED else ""
        raise CommandError(
            "Some rows would have the same name, which is unique: "
            f"{'; '.join(collisions[:MAX_NAMED])}{more}. Rename one of each, and upgrade again."
        )
    for (table, column, _), found in changes.items():
        _write(table, column, found)
    for table, names in OTHERS.items():
        for column in names:
            _write(table, column, list(_changes(table, column, None, composed)))


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


def _write(name: str, column: str, changes: Sequence[Change]) -> None:
    if not changes:
        return
    rows = _table(name, column, None)
    unchanged = (rows.c.id == sa.bindparam("row_id"), rows.c[column] == sa.bindparam("before"))
    statement = sa.update(rows).where(*unchanged).values({column: sa.bindparam("after", type_=columns.UnicodeString())})
    with online.by_itself(name):
        for start in range(0, len(changes), BATCH):
            op.get_bind().execute(statement, [change._asdict() for change in changes[start : start + BATCH]])
