"""What the tests of the worker share."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.event import Event
from api.models.webhook import Webhook
from api.models.webhook_delivery import WebhookDelivery
from api.settings import Settings
from api.worker.fan_out import fan_out
from api.worker.queue import Queue
from api.worker.relay import relay
from api.worker.webhooks import FOLLOWER, Deliveries


class OpenWorker(Protocol):
    """Opens the database of the test once more, as another worker does."""

    def __call__(self) -> AbstractAsyncContextManager[Database]: ...


async def feed_of(session: AsyncSession) -> list[tuple[int | None, str]]:
    """The place and the subject of each event that has a place, in order."""
    placed = select(col(Event.position), col(Event.subject)).where(col(Event.position).is_not(None))
    return [(place, subject) for place, subject in await session.exec(placed.order_by(col(Event.position)))]


class Worker:
    """Does what a worker does of events, until there is nothing more to do at the moment."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.queue = Queue(Deliveries(settings.model_copy(update={"webhooks_to_private_addresses": True})))

    async def work(self) -> None:
        while await relay(self.database):
            pass
        while await fan_out(self.database, [FOLLOWER]):
            pass
        while await self.queue.step(self.database):
            pass


async def deliveries(session: AsyncSession) -> list[WebhookDelivery]:
    rows = select(WebhookDelivery).order_by(col(WebhookDelivery.id)).execution_options(populate_existing=True)
    return list((await session.exec(rows)).all())


async def webhook_now(session: AsyncSession) -> Webhook:
    return (await session.exec(select(Webhook).execution_options(populate_existing=True))).one()
