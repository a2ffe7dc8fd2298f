"""Spell texts alike.

Letters are composed (NFC) and usernames are lower case, as requests are now. Two rows that would become one stop the
upgrade before anything is changed. Rows that are spelled so already, which is nearly all, are not written.
"""

import unicodedata
from collections.abc import Callable, Iterator

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

Change = tuple[int, str, str]
"""The id of a row, its text, and what becomes of it."""


def upgrade() -> None:
    if op.get_context().as_sql:
        op.execute("UPDATE users SET username = lower(username) WHERE username <> lower(username)")
        return  # the rest takes Unicode's tables; a database has none, or its own
    changes = {(table, column): list(_changes(table, column, alike)) for (table, column, _), alike in UNIQUE.items()}
    collisions = [each for (table, column, within) in UNIQUE for each in _collisions(table, column, within, changes)]
    if collisions:
        more = f" and {len(collisions) - MAX_NAMED} more" if len(collisions) > MAX_NAMED else ""
        raise CommandError(
            "Some rows would have the same name, which is unique: "
            f"{'; '.join(collisions[:MAX_NAMED])}{more}. Rename one of each, and upgrade again."
        )
    for (table, column), found in changes.items():
        _write(table, column, found)
    for table, names in OTHERS.items():
        for column in names:
            _write(table, column, list(_changes(table, column, composed)))


def downgrade() -> None:
    """The spelling stays: nothing tells how a text was spelled before, and the older release reads both."""


def _table(name: str, column: str, within: str | None = None) -> sa.TableClause:
    return sa.table(
        name,
        sa.column("id", columns.BigInt()),
        sa.column(column, columns.UnicodeString()),
        *([sa.column(within, columns.BigInt())] if within else []),
    )


def _changes(name: str, column: str, alike: Callable[[str], str]) -> Iterator[Change]:
    rows, last_id = _table(name, column), 0
    batch = sa.select(rows.c.id, rows.c[column]).where(rows.c[column].is_not(None)).order_by(rows.c.id).limit(BATCH)
    while found := op.get_bind().execute(batch.where(rows.c.id > last_id)).all():
        yield from ((row_id, text, alike(text)) for row_id, text in found if alike(text) != text)
        last_id = found[-1].id


def _collisions(
    name: str, column: str, within: str | None, changes: dict[tuple[str, str], list[Change]]
) -> Iterator[str]:
    """The rows that would have one text, such as "users 1 'Admin' and 7 'admin'"."""
    rows = _table(name, column, within)
    others = rows.alias()
    same_group = others.c[within] == rows.c[within] if within else sa.true()
    new = {row_id: text for row_id, _, text in changes[name, column]}
    named: set[frozenset[int]] = set()
    for row_id, text, changed in changes[name, column]:
        with_it = sa.select(others.c.id, others.c[column]).where(others.c.id != row_id, same_group)
        spelled = {changed, *(old for _, old, become in changes[name, column] if become == changed)}
        found = with_it.join_from(rows, others, sa.true()).where(rows.c.id == row_id, others.c[column].in_(spelled))
        for other_id, other in op.get_bind().execute(found):
            pair = frozenset((row_id, other_id))
            if new.get(other_id, other) == changed and pair not in named:
                named.add(pair)
                yield f"{name} {row_id} {text!r} and {other_id} {other!r}"


def _write(name: str, column: str, changes: list[Change]) -> None:
    if not changes:
        return
    rows = _table(name, column)
    unchanged = (rows.c.id == sa.bindparam("row_id"), rows.c[column] == sa.bindparam("before"))
    statement = sa.update(rows).where(*unchanged).values({column: sa.bindparam("after", type_=columns.UnicodeString())})
    with online.by_itself(name):
        for start in range(0, len(changes), BATCH):
            batch = [
                {"row_id": row_id, "before": before, "after": after}
                for row_id, before, after in changes[start : start + BATCH]
            ]
            op.get_bind().execute(statement, batch)
