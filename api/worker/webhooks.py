"""Webhooks: events become deliveries, and deliveries become requests, signed as Standard Webhooks says.

A webhook that fails is paused as a whole (`webhook_pauses.py`). A delivery that it refuses while it takes others has
waits of its own, and is given up at last. A test is sent at once, whatever became of others, and counts for none.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import monotonic
from typing import Any, ClassVar, NamedTuple

from sqlmodel import SQLModel, col, exists, insert, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api import __version__
from api.database.connections import driver_of
from api.database.errors import message_of
from api.database.sessions import Database
from api.database.statements import Insertion
from api.models import webhook_delivery
from api.models.base import utcnow
from api.models.event import Event, EventRead
from api.models.outgoing import OutgoingStatus
from api.models.webhook import Webhook, WebhookRead, WebhookTestEvent
from api.models.webhook_delivery import WebhookDelivery
from api.reads.answers import json_of
from api.reads.rows import rows_by_id
from api.settings import Settings
from api.worker.channels import AT_ONCE_TO_ONE, Channel, Outcome, is_pending
from api.worker.fan_out import Follower
from api.worker.http_client import ANSWER_TIMEOUT, TOTAL_TIMEOUT, Answer, HttpClient, NoAnswer
from api.worker.next_deliveries import find_next
from api.worker.signatures import signature
from api.worker.webhook_pauses import Trouble, note_failure, note_success

logger = logging.getLogger(__name__)

TABLE = SQLModel.metadata.tables[str(WebhookDelivery.__tablename__)]
INSERT_DELIVERY = Insertion(WebhookDelivery)

RETRIES = tuple(timedelta(seconds=each) for each in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""Waits before a delivery is tried again, as the standard recommends them; up to a fifth longer, by chance."""

ASKING_FOR_TIME = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
TEST_PATIENCE = timedelta(minutes=10)
"""For a test to be sent: whoever asked for it has gone on, where no worker ran meanwhile."""

CLOCKS = timedelta(minutes=1)
"""By which those of two machines may differ. Rather an event from before a webhook was added than one that is lost."""

LONGEST_RETRY_AFTER = 3_600
"""Seconds for which a receiver may ask to be left alone."""


async def _take(session: AsyncSession, events: Sequence[Event]) -> None:
    """Write a delivery for each webhook that wants an event, and was there when it happened."""
    active = select(Webhook).where(col(Webhook.is_active)).order_by(col(Webhook.id)).with_for_update(read=True)
    webhooks = (await session.exec(active)).all()
    rows = [
        INSERT_DELIVERY.values(event_id=event.id, webhook_id=each.id, subject=event.subject)
        for event in events
        for each in webhooks
        if each.wants(event.type) and event.timestamp > each.created_at - CLOCKS
    ]
    if rows:
        await (await session.connection()).execute(insert(TABLE), rows)


FOLLOWER = Follower(webhook_delivery.FOLLOWER, _take)


class Letter(NamedTuple):
    webhook: Webhook
    body: bytes


@dataclass(frozen=True)
class Delivered(Outcome):
    """What became of a delivery, and what it says of its webhook."""

    trouble: Trouble = field(kw_only=True)


class Deliveries(Channel[WebhookDelivery]):
    name = "webhook deliveries"
    model = WebhookDelivery
    time_limit: ClassVar[float] = TOTAL_TIMEOUT + ANSWER_TIMEOUT + 1

    def __init__(self, settings: Settings, client: HttpClient | None = None) -> None:
        self._demands_https = settings.is_production
        self._sends_mail = settings.has_mail
        self._client = client or HttpClient(to_private_addresses=settings.webhooks_to_private_addresses)

    async def find(
        self, session: AsyncSession, now: datetime, full: Sequence[int], room: int
    ) -> Sequence[tuple[int, int, int]]:
        """Tests first. Of a webhook that fails, one at a time, and none while it is paused.

        Each webhook is asked for alone: a database would sort all that is waiting, to find the first few of them.
        """
        delivery: Any = WebhookDelivery
        tests = self.candidates(now).where(delivery.event_id.is_(None), delivery.webhook_id.not_in(full))
        found = [(row_id, webhook_id, at_once) for row_id, webhook_id, at_once in await session.exec(tests.limit(room))]
        of_event = delivery.event_id.is_not(None)
        its = (delivery.webhook_id == col(Webhook.id), of_event, is_pending(delivery), delivery.due_at <= now)
        waiting = exists(delivery.id).where(*its)
        is_free = or_(col(Webhook.paused_until).is_(None), col(Webhook.paused_until) <= now)
        ready = select(col(Webhook.id), col(Webhook.failures)).where(col(Webhook.is_active), is_free, waiting)
        webhooks = [each for each in (await session.exec(ready)).all() if each[0] not in full]
        random.shuffle(webhooks)  # so that each has its turn, where there is not room for all
        for webhook_id, failures in webhooks:
            at_once = 1 if failures else AT_ONCE_TO_ONE
            if (limit := min(at_once, room - len(found))) > 0:
                ids = await find_next(session, webhook_id, now, limit)
                found += [(row_id, webhook_id, at_once) for row_id in ids]
        return found

    async def load(self, database: Database, rows: Sequence[WebhookDelivery]) -> Mapping[int, Letter]:
        ids = {each.webhook_id for each in rows}
        async with database.reads() as session:
            found = (await session.exec(select(Webhook).where(col(Webhook.id).in_(ids)))).all()
            events = select(Event).where(col(Event.id).in_([each.event_id for each in rows]))
            bodies = await rows_by_id(await driver_of(session), events, EventRead)
        webhooks = {each.id: each for each in found}
        letters = {}
        for each in (row for row in rows if row.webhook_id in webhooks):
            webhook = webhooks[each.webhook_id]
            body = _test_body(each, webhook) if each.event_id is None else bodies.get(each.event_id)
            if body is not None:
                letters[each.id] = Letter(webhook, body)
        return letters

    async def send(self, row: WebhookDelivery, letter: Letter) -> Outcome:
        if row.is_test and (row.attempts or utcnow() - row.due_at > TEST_PATIENCE):
            return Outcome(OutgoingStatus.FAILED, row.error or "It has waited for too long.")
        begun, answer = monotonic(), None
        try:
            answer = await self._post(row, letter)
            error = _why_refused(answer)
        except NoAnswer as failure:
            error = str(failure)
        except Exception as mistake:  # of the shop's own: a failure like any other, or it would be tried for ever
            logger.exception("delivery %s could not be sent", row.id)
            error = message_of(mistake) or type(mistake).__name__
        values = {
            "http_status": answer and answer.status,
            "duration": int((monotonic() - begun) * 1_000),
        }
        if row.is_test:  # which says nothing of the webhook, so that nobody is disabled by tests
            return Outcome(OutgoingStatus.FAILED if error else OutgoingStatus.SENT, error, values=values)
        url, failures = letter.webhook.url, letter.webhook.failures
        if error is None:
            return Delivered(OutgoingStatus.SENT, values=values, trouble=Trouble(url, failures))
        attempts = row.attempts + 1
        is_given_up = attempts > len(RETRIES) and failures + 1 < attempts  # so that it took others meanwhile
        wait = RETRIES[min(attempts, len(RETRIES)) - 1] * random.uniform(1, 1.2)  # noqa: S311
        status = OutgoingStatus.FAILED if is_given_up else OutgoingStatus.PENDING
        is_gone = answer is not None and answer.status == HTTPStatus.GONE
        trouble = Trouble(url, failures, _retry_after(answer), is_gone=is_gone)
        return Delivered(status, error, utcnow() + wait, values, trouble=trouble)

    async def _post(self, row: WebhookDelivery, letter: Letter) -> Answer:
        now, message_id = utcnow(), row.message_id
        if self._demands_https and not letter.webhook.url.startswith("https://"):
            raise NoAnswer("Its URL must begin with https://.")
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Shop-Webhooks/{__version__}",
            "Accept-Encoding": "identity",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(letter.webhook.secrets_at(now), message_id, timestamp, letter.body),
        }
        return await self._client.post(letter.webhook.url, letter.body, headers)

    async def note(self, session: AsyncSession, outcomes: Sequence[tuple[WebhookDelivery, Outcome]]) -> None:
        """Note in each webhook whether it is up."""
        found: dict[tuple[int, str], list[Delivered]] = {}
        for row, outcome in outcomes:
            if isinstance(outcome, Delivered):
                found.setdefault((row.webhook_id, outcome.trouble.url), []).append(outcome)
        for (webhook_id, _), its in sorted(found.items()):
            attempts = [each.trouble for each in its]
            if any(each.status is OutgoingStatus.SENT for each in its):
                await note_success(session, webhook_id, attempts)
            else:
                await note_failure(session, webhook_id, attempts, tells_by_mail=self._sends_mail)

    async def close(self) -> None:
        await self._client.close()


def _test_body(row: WebhookDelivery, webhook: Webhook) -> bytes:
    data = WebhookRead.model_validate(webhook)
    told = WebhookTestEvent(id=0, type="webhook.test", timestamp=row.created_at, subject=row.subject, data=data)
    return json_of(told, WebhookTestEvent)


def _why_refused(answer: Answer) -> str | None:
    """Why an answer means that the delivery was not taken; `None` where it was."""
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        return f"It answered {answer.status}: redirects are not followed."
    return f"It answered {answer.status}."


def _retry_after(answer: Answer | None) -> float:
    """Seconds for which a receiver asks to be left alone, in either form of RFC 9110."""
    if answer is None or answer.retry_after is None or answer.status not in ASKING_FOR_TIME:
        return 0
    try:
        if answer.retry_after.isdecimal():
            seconds = float(answer.retry_after)
        else:
            moment = parsedate_to_datetime(answer.retry_after)
            seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - utcnow()).total_seconds()
    except (ValueError, OverflowError):
        return 0
    return min(max(seconds, 0), LONGEST_RETRY_AFTER)
