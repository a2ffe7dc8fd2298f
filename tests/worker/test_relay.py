"""The relay gives each committed event one place in the feed, without gaps, whoever else is at it."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import DATABASE_ERRORS, is_transient
from api.database.sessions import Database
from api.models.event import Event, EventType
from api.models.job import Job
from api.models.user import ErasedUser, User
from api.rules.events import record_event
from api.worker import relay as relaying
from api.worker.job_rows import RELAY, add_missing_rows
from api.worker.relay import relay
from tests.factories import an_event
from tests.worker.support import OpenWorker, feed_of


@pytest.fixture(autouse=True)
async def rows_of_jobs(database: Database) -> None:
    await add_missing_rows(database, [RELAY])


async def last_place(session: AsyncSession) -> int:
    return (await session.exec(select(Job.position).where(Job.name == RELAY))).one()


class TestPlaces:
    async def test_events_get_the_next_places_in_the_order_of_their_ids(
        self, database: Database, session: AsyncSession
    ) -> None:
        for number in (1, 2):
            await an_event(session, subject=f"users/{number}")
        assert await relay(database) is False
        await an_event(session, subject="users/3")
        assert await relay(database) is False
        assert await relay(database) is False

        assert await feed_of(session) == [(1, "users/1"), (2, "users/2"), (3, "users/3")]
        assert await last_place(session) == 3

    async def test_many_events_are_placed_so_many_at_a_time(
        self, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relaying, "EVENTS_AT_A_TIME", 2)
        for number in range(1, 6):
            await an_event(session, subject=f"users/{number}")

        assert [await relay(database) for _ in range(3)] == [True, True, False]

        assert await feed_of(session) == [(number, f"users/{number}") for number in range(1, 6)]

    async def test_an_erased_event_leaves_its_place_to_nobody(self, database: Database, session: AsyncSession) -> None:
        """A program that has read to it would never see the next one there."""
        await an_event(session)
        await relay(database)
        await session.exec(delete(Event))

        await an_event(session, subject="users/2")
        await relay(database)

        assert await feed_of(session) == [(2, "users/2")]

    async def test_an_event_that_is_erased_meanwhile_undoes_the_places_of_all(
        self, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events = [await an_event(session, subject=f"users/{number}") for number in (1, 2, 3)]
        gone = relaying.PLACE.where(relaying.EVENTS.c.id != events[1].id)
        with monkeypatch.context() as patch:
            patch.setattr(relaying, "PLACE", gone)
            with pytest.raises(StaleDataError) as error:
                await relay(database)
        assert is_transient(error.value), "the worker runs it again"
        assert (await feed_of(session), await last_place(session)) == ([], 0)

        await relay(database)
        assert [place for place, _ in await feed_of(session)] == [1, 2, 3]

    async def test_the_row_of_the_relay_is_made_where_it_is_missing(
        self, database: Database, session: AsyncSession
    ) -> None:
        await session.exec(delete(Job))
        await an_event(session, position=7, subject="users/7")
        await an_event(session, subject="users/8")

        await relay(database)
        await relay(database)

        assert await feed_of(session) == [(7, "users/7"), (8, "users/8")]


class TestSeveralAtOnce:
    async def test_several_workers_give_each_event_one_place_and_leave_no_gap(
        self, open_worker: OpenWorker, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While events come in, in several transactions at once."""
        monkeypatch.setattr(relaying, "EVENTS_AT_A_TIME", 7)
        written = asyncio.Event()

        async def write(first: int) -> None:
            for number in range(first, first + 100, 5):
                async with database.transaction() as transaction:
                    for each in range(number, number + 5):
                        record_event(transaction, EventType.USER_ERASED, User, each, ErasedUser(id=each))

        async def work(worker: Database) -> None:
            while not written.is_set():
                with suppress(*DATABASE_ERRORS):  # one of them waits for another one, and is told to come again
                    await relay(worker)
                await asyncio.sleep(0)

        async with AsyncExitStack() as stack:
            workers = [await stack.enter_async_context(open_worker()) for _ in range(3)]
            working = [asyncio.create_task(work(each)) for each in workers]
            await asyncio.gather(*(write(first) for first in (1, 101, 201)))
            written.set()
            await asyncio.gather(*working)
        while await relay(database):
            pass

        feed = await feed_of(session)
        assert [place for place, _ in feed] == list(range(1, 301))
        assert {subject for _, subject in feed} == {f"users/{number}" for number in range(1, 301)}

    @pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
    async def test_an_event_that_is_committed_late_comes_after_those_that_were_told(
        self, database: Database, session: AsyncSession
    ) -> None:
        """Its id is smaller. SQLite has one writer, so there no id is committed late."""
        async with database.transaction() as late:
            late.add(Event(type=EventType.USER_ERASED, subject="users/1", data={"id": 1}))
            await late.flush()
            await an_event(session, subject="users/2")
            await relay(database)
            assert await feed_of(session) == [(1, "users/2")]

        await relay(database)

        assert await feed_of(session) == [(1, "users/2"), (2, "users/1")]
        ids = (await session.exec(select(Event.id).order_by(col(Event.position)))).all()
        assert ids[0] > ids[1]

    @pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
    async def test_a_worker_waits_for_no_other_one(self, database: Database, session: AsyncSession) -> None:
        await an_event(session)
        async with database.transaction() as other:
            await other.exec(select(Job.position).where(Job.name == RELAY).with_for_update())
            assert await relay(database) is False
        assert await feed_of(session) == []
