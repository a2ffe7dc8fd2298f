"""The queue of what is sent out: an error or a stop in the midst leaves nothing claimed, and nothing sent twice."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.outgoing import OutgoingStatus
from api.models.webhook_delivery import WebhookDelivery
from api.worker import queue
from api.worker.channels import Channel, Outcome
from api.worker.queue import Queue
from tests.factories import a_webhook_delivery
from tests.worker.support import deliveries


class Post(Channel[WebhookDelivery]):
    """Sends the deliveries of `late` never, and all others at once."""

    name = "post"
    model = WebhookDelivery
    time_limit: ClassVar[float] = 60

    def __init__(self, *, load_takes: float = 0, fails: bool = False) -> None:
        self.late: set[int] = set()
        self._load_takes, self._fails = load_takes, fails

    async def load(self, database: Database, rows: Sequence[WebhookDelivery]) -> Mapping[int, Any]:
        await asyncio.sleep(self._load_takes)
        if self._fails:
            raise ConnectionError
        return {each.id: "hello" for each in rows}

    async def send(self, row: WebhookDelivery, letter: Any) -> Outcome:
        if row.id in self.late:
            await asyncio.Event().wait()
        return Outcome(OutgoingStatus.SENT)


@pytest.mark.parametrize(
    ("post", "error"), [(Post(fails=True), ConnectionError), (Post(load_takes=60), TimeoutError)], ids=["error", "slow"]
)
async def test_rows_that_cannot_be_loaded_are_anybodys_again(
    database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, post: Post, error: type[Exception]
) -> None:
    """And not only when their claim ends: somebody may wait for a link."""
    monkeypatch.setattr(queue, "LOAD_LIMIT", 0.2)
    for _ in range(3):
        await a_webhook_delivery(session)
    with pytest.raises(error):
        await Queue(post).step(database)
    assert [(each.claim, each.claimed_until) for each in await deliveries(session)] == [(None, None)] * 3


async def test_a_stop_notes_what_was_sent_before_it_waits_for_the_rest(
    database: Database, session: AsyncSession
) -> None:
    """Whoever stops the worker may have less patience than the slowest receiver."""
    _, slow = [await a_webhook_delivery(session) for _ in range(2)]
    post = Post()
    post.late.add(slow.id)
    worker = Queue(post)
    await worker.step(database)

    stopping = asyncio.create_task(worker.finish(database))
    async with asyncio.timeout(30):
        while (await deliveries(session))[0].status is not OutgoingStatus.SENT:
            assert not stopping.done()
            await asyncio.sleep(0.01)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_stop_leaves_the_rest_to_other_workers(
    database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "STOP_GRACE", 0.2)
    slow = await a_webhook_delivery(session)
    post = Post()
    post.late.add(slow.id)
    worker = Queue(post)
    await worker.step(database)
    await worker.finish(database)
    (left,) = await deliveries(session)
    assert (left.status, left.claim, left.attempts) == (OutgoingStatus.PENDING, None, 0)
