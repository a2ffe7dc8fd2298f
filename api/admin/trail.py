"""Who changed a row, as its page shows it, where the shop keeps an audit trail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.entities import Entities
from api.admin.rows import Row, label_in, rows_of, short_time, text_of

TRAIL = "audit-entries"
CHANGES_SHOWN = 20


@dataclass(frozen=True)
class Change:
    """One entry of the trail."""

    id: int
    at: datetime
    who: str
    user_id: int | None
    action: str
    details: Sequence[str]

    @property
    def time(self) -> str:
        return short_time(self.at)


async def changes_of(session: AsyncSession, entities: Entities, row: Row) -> list[Change]:
    """The newest changes of a row, in one statement. An entry names its user by number, and outlives the user."""
    trail, users = entities.get(TRAIL), entities.of_table("users")
    if trail is None or users is None:
        return []
    entry, user = trail.table.c, users.table.alias("actor")
    statement = (
        rows_of(trail)
        .outerjoin(user, entry.user_id == user.c.id)
        .where(entry.entity == row.entity.table.name, entry.row_id == row.id)
        .order_by(entry.id.desc())
        .limit(CHANGES_SHOWN)
        .with_only_columns(
            *(entry[name] for name in ("id", "created_at", "user_id", "command", "action", "changes")),
            label_in(users, user).label("who"),
            maintain_column_froms=True,
        )
    )
    found: Any = await session.exec(statement)
    return [_change(each) for each in found.mappings()]


def _change(entry: Mapping[str, Any]) -> Change:
    who = entry["who"] or entry["command"] or (f"User {entry['user_id']}" if entry["user_id"] else "nobody signed in")
    details = [_detail(name, change) for name, change in entry["changes"].items()]
    return Change(entry["id"], entry["created_at"], who, entry["user_id"], text_of(entry["action"]), details)


def _detail(name: str, change: Any) -> str:
    """`price: 79.99 → 69.99`; of a secret or a personal value the trail has only that it changed."""
    if not isinstance(change, list) or len(change) != 2:
        return f"{name}: changed"
    before, after = (text_of(each) or "–" for each in change)
    return f"{name}: {before} → {after}"
