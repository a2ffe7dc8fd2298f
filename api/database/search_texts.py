"""What rows are found by, filled in where a release wrote them that knows nothing of it.

Between a migration and the restart an older release goes on writing: it leaves `search_text` null in new rows, and does
not change it with the texts of others. So each process looks through such rows, and those that were changed lately,
when it starts. The migration that adds the column looks through all.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnClause, ColumnElement, Select, Update
from sqlmodel import case, column, literal, null, or_, table, update

from api.database.errors import DATABASE_ERRORS
from api.database.sessions import Database
from api.errors import ShopError
from api.models.base import utcnow
from api.models.columns import BigInt, Timestamp, UnicodeString
from api.models.searchable import Searchable

logger = logging.getLogger(__name__)

BATCH_SIZE = 100
"""Rows of one statement: of the longest posts, they stay below the 16 MB that MariaDB takes."""

LATELY = timedelta(hours=1)
"""How long a release may go on after the migrations of the next."""

RETRY_AFTER = 30
"""Seconds between attempts, while the database does not answer or takes no writes."""


class SearchTexts:
    """The search texts of one table. Its columns are named, so that a migration can use it at any revision."""

    def __init__(self, table_name: str, searched: Sequence[str]) -> None:
        self.table_name = table_name
        self._id = column("id", BigInt())
        self._search_text = column("search_text", UnicodeString())
        self._updated_at = column("updated_at", Timestamp())
        self._searched = [column(name, UnicodeString()) for name in searched]
        self._table = table(table_name, self._id, self._search_text, self._updated_at, *self._searched)

    def batch(self, after_id: int, changed_since: datetime | None = None) -> Select[Any]:
        """The next rows to look at, in the order of their ids.

        Args:
            after_id: The last id of the batch before.
            changed_since: Also the rows that were changed since then, and not only those with null.
        """
        due: ColumnElement[bool] = self._search_text.is_(None)
        if changed_since is not None:
            due = or_(due, self._updated_at >= changed_since)
        found: Any = Select(self._id, self._search_text, self._updated_at, *self._searched)
        found = found.select_from(self._table)
        batch: Select[Any] = found.where(self._id > after_id, due).order_by(self._id).limit(BATCH_SIZE)
        return batch

    def update(self, rows: Sequence[Any]) -> Update | None:
        """Writes the search texts of a batch, but not where another request has changed a row meanwhile.

        An older release leaves `search_text` as it is, but no `updated_at`. One statement for all of them: MySQL takes
        a tenth of the time.
        """
        stored = {row_id: text for row_id, text, *_ in rows}
        times = {row_id: updated_at for row_id, _, updated_at, *_ in rows}
        filled = {row_id: Searchable.search_text_of(texts) for row_id, _, _, *texts in rows}
        changed = [row_id for row_id in filled if filled[row_id] != stored[row_id]]
        if not changed:
            return None
        unchanged = (
            self._search_text.is_not_distinct_from(self._one_of(stored, changed, self._search_text)),
            self._updated_at == self._one_of(times, changed, self._updated_at),
        )
        these = update(self._table).where(self._id.in_(changed), *unchanged)
        return these.values(search_text=self._one_of(filled, changed, self._search_text))

    def _one_of(self, values: Mapping[int, Any], ids: Sequence[int], of: ColumnClause[Any]) -> ColumnElement[Any]:
        """The value of a row's id, for a column."""
        found = {each: literal(values[each], of.type) for each in ids}
        return case(found, value=self._id) if any(values[each] is not None for each in ids) else null()


async def prepare_search(database: Database) -> None:
    """Fill in what an older release left, however long it takes until the database can be written."""
    since = utcnow() - LATELY
    for model in Searchable.__subclasses__():
        texts = SearchTexts(str(model.__tablename__), model.searched)
        last_id: int | None = 0
        while last_id is not None:
            try:
                last_id = await _fill_in(database, texts, last_id, since)
            except (*DATABASE_ERRORS, ShopError) as error:
                logger.warning("%s cannot be prepared for searches yet: %s", texts.table_name, type(error).__name__)
                await asyncio.sleep(RETRY_AFTER)


async def _fill_in(database: Database, texts: SearchTexts, after_id: int, since: datetime) -> int | None:
    """Fill in a batch, and return its last id; `None` after the last batch."""
    async with database.engine.connect() as connection:
        rows = (await connection.execute(texts.batch(after_id, since))).all()
    update = texts.update(rows)
    if update is not None:
        async with database.transaction() as session:
            await session.exec(update)
    return rows[-1][0] if rows else None
