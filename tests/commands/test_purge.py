"""`python -m api purge`: it deletes rows that have expired."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from api import __main__ as cli
from api.models.base import utcnow
from tests.alembic_support import on_engine
from tests.commands.support import count
from tests.factories import a_mail, a_registration, a_token, a_user, an_attempt, an_event, an_idempotency_key
from tests.support import FreshSession


class TestPurge:
    def test_old_keys_expired_tokens_past_attempts_and_events_that_were_told_are_deleted(
        self, migrated: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def fill(engine: AsyncEngine) -> None:
            async with FreshSession(engine) as session:
                user = await a_user(session)
                for days in (1, 29, 31, 400):
                    await an_idempotency_key(session, user, created_at=utcnow() - timedelta(days=days))
                for days in (-1, 0, 1):
                    await a_token(session, user, days=days)
                for window_start in (utcnow(), utcnow() - timedelta(days=2)):
                    await an_attempt(session, window_start=window_start)
                for hours in (-1, 1):
                    registration = await a_registration(session, expires_at=utcnow() + timedelta(hours=hours))
                    await a_mail(session, registration=registration)
                for position, days in enumerate((31, 31, 29), 1):
                    await an_event(session, position=position, timestamp=utcnow() - timedelta(days=days))
                await an_event(session, timestamp=utcnow() - timedelta(days=31))

        on_engine(migrated, fill)
        assert cli.main(["purge"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "Deleted 2 idempotency keys older than 30 days.",
            "Deleted 2 expired tokens.",
            "Deleted 1 counters of past attempts.",
            "Deleted 1 registrations that nobody confirmed in time.",
            "Deleted 2 events older than 30 days.",
            "Deleted 0 notes of what was sent more than 30 days ago.",
        ]
        tables = ("idempotency_keys", "tokens", "attempts", "events", "registrations", "mails")
        assert {table: count(migrated, table) for table in tables} == dict(zip(tables, (2, 1, 1, 2, 1, 1), strict=True))
        assert count(migrated, "events", "position IS NULL") == 1, "nobody can have read it"
