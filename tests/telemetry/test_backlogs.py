"""How much waits for the worker, and how late it is: what the alert of an old backlog asks for.

It pages somebody of the shop, so it may not go by what waits for the server of somebody else.
"""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import insert, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import utcnow
from api.models.outgoing import OutgoingStatus
from api.models.webhook_delivery import WebhookDelivery
from api.worker.sampling import BACKLOGS, backlog_of
from tests.factories import a_mail, a_webhook, a_webhook_delivery, an_event
from tests.plans import plan_of

ANALYZE = {
    "sqlite": "ANALYZE webhook_deliveries",
    "postgresql": "ANALYZE webhook_deliveries",
    "mysql": "ANALYZE TABLE webhook_deliveries",
}
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def ago(time: timedelta) -> dict[str, Any]:
    """The columns of a row that was due so long ago; it was written a day before."""
    now = utcnow()
    return {"created_at": now - timedelta(days=1), "due_at": now - time}


class TestAge:
    async def test_nothing_waits(self, session: AsyncSession) -> None:
        assert [await backlog_of(session, each) for each in BACKLOGS] == [(0, 0.0)] * 3

    async def test_an_event_waits_since_it_happened(self, session: AsyncSession) -> None:
        await an_event(session, timestamp=utcnow() - HOUR)
        await an_event(session, timestamp=utcnow() - 2 * HOUR, position=1)
        rows, age = await backlog_of(session, "events")
        assert rows == 1
        assert age == pytest.approx(3_600, abs=30)

    async def test_a_mail_waits_since_it_is_due(self, session: AsyncSession) -> None:
        await a_mail(session, **ago(MINUTE))
        await a_mail(session, **ago(-HOUR))
        await a_mail(session, **ago(HOUR), status=OutgoingStatus.FAILED)
        rows, age = await backlog_of(session, "mails")
        assert rows == 2, "one that is tried again later waits too"
        assert age == pytest.approx(60, abs=30)

    async def test_a_delivery_waits_since_it_is_due(self, session: AsyncSession) -> None:
        webhook = await a_webhook(session)
        for each in (MINUTE, timedelta(), -HOUR):
            await a_webhook_delivery(session, webhook=webhook, **ago(each))
        await a_webhook_delivery(session, **ago(2 * MINUTE))
        await a_webhook_delivery(session, webhook=webhook, **ago(HOUR), status=OutgoingStatus.SENT)
        rows, age = await backlog_of(session, "webhooks")
        assert rows == 4
        assert age == pytest.approx(120, abs=30)

    async def test_a_paused_or_disabled_webhook_makes_nothing_late(self, session: AsyncSession) -> None:
        paused = await a_webhook(session, paused_until=utcnow() + MINUTE)
        disabled = await a_webhook(session, is_active=False)
        for webhook in (paused, disabled):
            await a_webhook_delivery(session, webhook=webhook, **ago(HOUR))
        assert await backlog_of(session, "webhooks") == (1, 0.0)

    async def test_what_a_pause_held_up_is_late_from_the_end_of_the_pause_on(self, session: AsyncSession) -> None:
        webhook = await a_webhook(session, paused_until=utcnow() - MINUTE)
        await a_webhook_delivery(session, webhook=webhook, **ago(HOUR))
        _, age = await backlog_of(session, "webhooks")
        assert age == pytest.approx(60, abs=30)

    async def test_what_waits_for_a_refused_delivery_of_its_subject_is_not_late(self, session: AsyncSession) -> None:
        webhook = await a_webhook(session)
        subject: dict[str, Any] = {"webhook": webhook, "subject": "orders/7"}
        event = await an_event(session)
        await a_webhook_delivery(session, await an_event(session), **subject, **ago(-HOUR))
        await a_webhook_delivery(session, event, **subject, **ago(HOUR))
        assert await backlog_of(session, "webhooks") == (2, 0.0)

        await a_webhook_delivery(session, webhook=webhook, **ago(MINUTE))
        rows, age = await backlog_of(session, "webhooks")
        assert rows == 3
        assert age == pytest.approx(60, abs=30)


READS_ALL = {
    "sqlite": r"SCAN webhook_deliveries",
    "postgresql": r"Seq Scan on webhook_deliveries",
    "mysql": r"'webhook_deliveries\w*', '(ALL|index)'",
}


@pytest.mark.parametrize("which", ["rows", "since"])
async def test_no_statement_reads_all_deliveries(database: Database, session: AsyncSession, which: str) -> None:
    """Every process asks every ten seconds, and deliveries are kept for thirty days."""
    webhook = await a_webhook(session)
    event = await an_event(session)
    first = (await a_webhook_delivery(session, event, webhook, **ago(MINUTE))).id
    copies = [{"id": first + each, "webhook_id": webhook.id, "subject": "orders/7"} for each in range(1, 1_000)]
    sent = {"status": OutgoingStatus.SENT, "attempts": 1, **ago(MINUTE)}
    await session.exec(insert(WebhookDelivery).values([{**each, **sent} for each in copies]))
    await (await session.connection()).execute(text(ANALYZE[database.backend]))
    backlog = BACKLOGS["webhooks"]
    statement = backlog.rows if which == "rows" else backlog.since(utcnow())
    sql = statement.compile(database.engine, compile_kwargs={"literal_binds": True})

    plan = [str(step) for step in await plan_of(database, str(sql), ())]

    assert not [step for step in plan if re.search(READS_ALL[database.backend], step)], "\n".join(plan)
