"""The queue of what is sent out: claimed rows are sent beside each other, and what became of each is noted.

A worker claims rows by one conditional UPDATE, whose claim is read back, and sends them outside of any transaction. One
that is killed leaves its claims to others when they end, so a row can be sent twice, under the same id. Rows with one
receiver and one topic are sent in the order of their ids.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, NamedTuple
from uuid import uuid4

from sqlalchemy import bindparam, inspect
from sqlmodel import col, select, update

from api.backoff import backoff
from api.database.errors import message_of
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.outgoing import OutgoingStatus
from api.worker.channels import Channel, Outcome, Row, is_pending, is_unclaimed, new_values

logger = logging.getLogger(__name__)

AT_ONCE = 50
"""Rows that one worker sends at the same time."""

LEASE_MARGIN = timedelta(seconds=10)
"""After the time for sending a claim goes on, so that what became of it can be noted."""

PATIENCE = 0.5
"""Seconds after which a worker looks for more rows, although none of those that it sends has ended."""

LINGER = 0.02
"""Seconds in which others may end, once one has: what became of them is noted together."""

LOAD_LIMIT = 8.0
"""Seconds for finding out what claimed rows say: less than `LEASE_MARGIN`, because their claims run meanwhile."""

STOP_GRACE = 4.0
"""Seconds for what is being sent when the worker is stopped: less than all duties have."""

FIRST_BACKOFF, LONGEST_BACKOFF = 60.0, 4 * 3600.0
"""Seconds to wait at most before a row is tried again, where its channel does not say when."""


class _Sending(NamedTuple, Generic[Row]):
    row: Row
    receiver: int | None
    at_once: int


class Queue(Generic[Row]):
    """What one worker does of a channel."""

    def __init__(self, channel: Channel[Row]) -> None:
        self._channel = channel
        self._model: Any = channel.model
        self._sending: dict[asyncio.Task[Outcome], _Sending[Row]] = {}

    async def step(self, database: Database) -> bool:
        """Note what has ended, begin to send more, and return whether there may be more to do."""
        ended = await self._note_ended(database)
        begun = await self._begin(database)
        if self._sending and not begun:
            await asyncio.wait(self._sending, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(LINGER)
        return bool(ended or begun or self._sending)

    async def finish(self, database: Database) -> None:
        """Wait a little for what is being sent, and leave the rest to other workers.

        What has ended is noted at once: whoever stops the worker may not wait for the slowest.
        """
        end = time.monotonic() + STOP_GRACE
        try:
            while self._sending and (left := end - time.monotonic()) > 0:
                await asyncio.wait(self._sending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                await self._note_ended(database)
        finally:
            late = [task for task in self._sending if not task.done()]
            for each in late:
                each.cancel()
            await self._channel.close()
        rows = [self._sending.pop(each).row for each in late]
        await self._note_ended(database)
        await self._release(database, rows)

    async def _begin(self, database: Database) -> int:
        chosen = await self._choose(database)
        if not chosen:
            return 0
        rows = await self._claim(database, list(chosen))
        letters = await self._load(database, rows) if rows else {}
        for row in rows:
            if row.id in letters:
                task = asyncio.create_task(self._send(row, letters[row.id]))
                self._sending[task] = _Sending(row, *chosen[row.id])
        return len(chosen)  # also where another worker was faster, since there may be more

    async def _load(self, database: Database, rows: Sequence[Row]) -> Mapping[int, Any]:
        """What the rows say. Where it cannot be found out, they are anybody's again, and not only when the claim ends.

        Raises:
            TimeoutError: It took so long that their claims might end before they are sent.
        """
        try:
            async with asyncio.timeout(LOAD_LIMIT):
                return await self._channel.load(database, rows)
        except BaseException:
            await self._release(database, rows)
            raise

    async def _choose(self, database: Database) -> dict[int, tuple[int | None, int]]:
        """Rows that may be sent now, no more of each receiver than it is sent at once."""
        # A receiver that has no id yet is somebody else each time.
        known = [(each.receiver, each.at_once) for each in self._sending.values() if each.receiver is not None]
        running: Counter[int | None] = Counter(receiver for receiver, _ in known)
        full = [receiver for receiver, at_once in known if running[receiver] >= at_once]
        if (room := AT_ONCE - len(self._sending)) <= 0:
            return {}
        chosen: dict[int, tuple[int | None, int]] = {}
        async with database.reads() as session:
            for row_id, receiver, at_once in await self._channel.find(session, utcnow(), full, room):
                if running[receiver] < at_once:
                    running[receiver] += 1
                    chosen[row_id] = receiver, at_once
        return chosen

    async def _claim(self, database: Database, ids: Sequence[int]) -> Sequence[Row]:
        """Those of the rows that no other worker was faster with."""
        model, now, claim = self._model, utcnow(), uuid4().hex
        free = (col(model.id).in_(ids), is_pending(model), is_unclaimed(model, now))
        lease = now + timedelta(seconds=self._channel.time_limit) + LEASE_MARGIN
        async with database.transaction() as session:
            claimed = await session.exec(update(model).where(*free).values(claim=claim, claimed_until=lease))
            if not claimed.rowcount:
                return []
            mine = select(model).where(col(model.id).in_(ids), model.claim == claim).order_by(col(model.id))
            rows: Sequence[Row] = (await session.exec(mine)).all()
            return rows

    async def _send(self, row: Row, letter: Any) -> Outcome:
        try:
            async with asyncio.timeout(self._channel.time_limit):
                return await self._channel.send(row, letter)
        except TimeoutError:
            error = f"It took longer than {self._channel.time_limit:g} seconds."
        except Exception as mistake:
            logger.exception("%s %s could not be sent, and is tried again", self._model.__tablename__, row.id)
            error = message_of(mistake) or type(mistake).__name__
        wait = backoff(row.attempts + 1, first=FIRST_BACKOFF, longest=LONGEST_BACKOFF)
        return Outcome(OutgoingStatus.PENDING, error, utcnow() + timedelta(seconds=wait))

    async def _note_ended(self, database: Database) -> int:
        """Note what became of rows whose claim has not ended meanwhile."""
        ended = {task: sending.row for task, sending in self._sending.items() if task.done()}
        if not ended:
            return 0
        outcomes = sorted(((row, task.result()) for task, row in ended.items()), key=lambda each: each[0].id)
        changes: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for row, outcome in outcomes:
            values = new_values(row, outcome)
            new = {f"new_{name}": value for name, value in values.items()}
            changes[tuple(values)].append(new | {"row_id": row.id, "mine": row.claim})
        async with database.transaction() as session:
            connection = await session.connection()
            for names, rows in changes.items():
                await connection.execute(self._update(names), rows)
            await self._channel.note(session, outcomes)
        for task in ended:
            del self._sending[task]
        return len(ended)

    def _update(self, names: Sequence[str]) -> Any:
        table = inspect(self._model).local_table
        mine = (table.c.id == bindparam("row_id"), table.c.claim == bindparam("mine"))
        return update(table).where(*mine).values({name: bindparam(f"new_{name}") for name in names})

    async def _release(self, database: Database, rows: Sequence[Row]) -> None:
        if rows:
            model = self._model
            mine = (col(model.id).in_([each.id for each in rows]), col(model.claim).in_({each.claim for each in rows}))
            async with database.transaction() as session:
                await session.exec(update(model).where(*mine).values(claim=None, claimed_until=None))
