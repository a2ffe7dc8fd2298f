"""The time that rows get: now, or the moment of a past that is written (`api/demo/`)."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import at, utcnow
from api.models.tag import Tag

PAST = datetime(2026, 3, 28, 12, tzinfo=UTC)


def is_now(moment: datetime) -> bool:
    return abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


class TestClock:
    def test_it_is_now_but_for_the_time_of_a_block(self) -> None:
        assert is_now(utcnow())
        with at(PAST):
            assert utcnow() == PAST
            with at(PAST + timedelta(days=1)):
                assert utcnow() == PAST + timedelta(days=1)
            assert utcnow() == PAST
        assert is_now(utcnow())

    def test_it_is_now_again_after_an_error(self) -> None:
        with pytest.raises(ValueError, match="too early"), at(PAST):
            raise ValueError("too early")
        assert is_now(utcnow())

    async def test_it_is_now_in_another_task(self) -> None:
        """A request beside the one that writes a past is not in it."""
        entered, looked = asyncio.Event(), asyncio.Event()

        async def write_a_past() -> None:
            with at(PAST):
                entered.set()
                await looked.wait()

        past = asyncio.create_task(write_a_past())
        await entered.wait()
        assert is_now(utcnow())
        looked.set()
        await past

    async def test_a_row_is_changed_at_the_moment_too(self, database: Database, session: AsyncSession) -> None:
        async with database.transaction() as writing:
            with at(PAST):
                tag = Tag(name="Old", slug="old")
                writing.add(tag)
                await writing.flush()
            with at(PAST + timedelta(days=1)):
                tag.name = "Older"
                await writing.flush()

        stored = await session.get_one(Tag, tag.id)
        assert (stored.created_at, stored.updated_at) == (PAST, PAST + timedelta(days=1))
