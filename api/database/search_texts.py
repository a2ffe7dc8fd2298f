"""What rows are found by, filled in where a release wrote them that knows nothing of it.

Between a migration and the restart an older release goes on writing: it leaves `search_text` null in new rows, and does
not change it with the texts of others. So each process looks through such rows, and those that were changed lately,
when it starts. The migration that adds the column looks through all.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import bindparam, column, func, or_, select, table, update

from api.database.sessions import Database
from api.errors import ShopError
from api.models.base import utcnow
from api.models.columns import BigInt, Timestamp, UnicodeString
from api.models.searchable import Searchable

logger = logging.getLogger(__name__)

BATCH_SIZE = 500
"""Rows of one transaction: it takes some 20 ms, for which a writer may have to wait."""

LATELY = timedelta(hours=1)
"""How long a release may go on after the migrations of the next."""

HOW_TO_INDEX = "Run CREATE EXTENSION pg_trgm, and then what `alembic upgrade 1f6b02c9ae57:9c41d0a7f2be --sql` prints."
"""Where the extension was missing when the database was migrated."""

RETRY_AFTER = 30
"""Seconds between attempts, while the database does not answer or takes no writes."""


@dataclass(frozen=True)
class SearchTexts:
    """The search texts of one table. Its columns are named, so that a migration can use it at any revision."""

    name: str
    searched: Sequence[str]

    def fill_in(self, connection: Connection, after_id: int, changed_since: datetime | None = None) -> int | None:
        """Fill in a batch of rows, and return the last id, or `None` where no row is left.

        A row that another request changes meanwhile is left to that request.

        Args:
            connection: Where it is run, in a transaction of the caller.
            after_id: The last id of the batch before.
            changed_since: Also look at the rows that were changed since then, and not only at those with null.
        """
        texts = [column(each, UnicodeString()) for each in self.searched]
        row_id, search_text, updated_at = (
            column("id", BigInt()),
            column("search_text", UnicodeString()),
            column("updated_at", Timestamp()),
        )
        rows: Any = table(self.name, row_id, search_text, updated_at, *texts)
        due: ColumnElement[bool] = search_text.is_(None)
        if changed_since is not None:
            due = or_(due, updated_at >= changed_since)
        batch: Any = select(row_id, search_text, *texts)
        batch = batch.select_from(rows).where(row_id > after_id, due).order_by(row_id).limit(BATCH_SIZE)
        found = connection.execute(batch).all()
        changes = [
            {"row_id": each[0], "stored": each[1], "filled": filled}
            for each in found
            if (filled := Searchable.search_text_of(each[2:])) != each[1]
        ]
        if changes:
            unchanged = search_text.is_not_distinct_from(bindparam("stored", type_=UnicodeString()))
            change = update(rows).where(row_id == bindparam("row_id"), unchanged)
            connection.execute(change.values(search_text=bindparam("filled", type_=UnicodeString())), changes)
        return found[-1][0] if found else None


async def prepare_search(database: Database) -> None:
    """Fill in what an older release left, however long it takes until the database can be written."""
    since = utcnow() - LATELY
    for model in Searchable.__subclasses__():
        texts, last_id = SearchTexts(str(model.__tablename__), model.searched), 0
        while True:
            try:
                async with database.transaction() as session:
                    connection = await session.connection()
                    found = await connection.run_sync(texts.fill_in, last_id, since)
            except (SQLAlchemyError, ShopError) as error:
                logger.warning("The search texts of %s cannot be filled in yet: %s", texts.name, type(error).__name__)
                await asyncio.sleep(RETRY_AFTER)
                continue
            if found is None:
                break
            last_id = found
    if database.backend == "postgresql" and await _index_is_missing(database):
        logger.warning("A search reads the whole table: the extension pg_trgm is missing. %s", HOW_TO_INDEX)


async def _index_is_missing(database: Database) -> bool:
    name = f"ix_{Searchable.__subclasses__()[0].__tablename__}_search_text"
    async with database.reads() as session:
        return (await session.scalar(select(func.to_regclass(name)))) is None
