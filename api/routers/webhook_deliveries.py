"""What became of each event for each webhook. Staff read it, and have events sent again under the same id."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query
from pydantic import Field
from sqlalchemy import ColumnElement
from sqlmodel import col, delete, exists, insert, literal, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import Staff
from api.errors import Unprocessable
from api.models.event import Event
from api.models.job import Job
from api.models.outgoing import OutgoingStatus
from api.models.webhook import Webhook
from api.models.webhook_delivery import FOLLOWER, WebhookDelivery, WebhookDeliveryRead, WebhookReplay, WebhookReplayed
from api.reads.pages import read_page
from api.reads.rows import Read
from api.web.loading import PathId, QueryId, get_or_404
from api.web.pagination import CursorPage, Page, Paging, PagingParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import ReadSession, WriteSession

router = Router("/webhook-deliveries", tag="webhook-deliveries")
under_webhooks = Router("/webhooks/{id}", tag="webhook-deliveries")

MAX_REPLAYED = 20_000
"""Events of one request, whose deliveries are written within a second."""


class WebhookDeliveryList(Paging):
    webhook_id: QueryId | None = Field(default=None, description="Only deliveries to this webhook.")
    event_id: QueryId | None = Field(default=None, description="Only deliveries of this event.")
    status: OutgoingStatus | None = Field(default=None, description="Only deliveries in this status.")


@router.get("", response_model=Page[WebhookDeliveryRead] | CursorPage[WebhookDeliveryRead])
async def list_webhook_deliveries(staff: Staff, query: Annotated[WebhookDeliveryList, Query()]) -> Read:
    """List deliveries, the newest first, with what became of the last attempt of each."""
    deliveries = select(WebhookDelivery)
    if query.webhook_id is not None:
        deliveries = deliveries.where(WebhookDelivery.webhook_id == query.webhook_id)
    if query.event_id is not None:
        deliveries = deliveries.where(WebhookDelivery.event_id == query.event_id)
    if query.status is not None:
        deliveries = deliveries.where(WebhookDelivery.status == query.status)
    return read_page(deliveries, query)


@under_webhooks.get(
    "/deliveries",
    response_model=Page[WebhookDeliveryRead] | CursorPage[WebhookDeliveryRead],
    responses=problems(404),
)
async def list_deliveries_of_webhook(
    webhook_id: PathId, staff: Staff, session: ReadSession, paging: PagingParams
) -> Read:
    """List the deliveries to a webhook, the newest first."""
    webhook = await get_or_404(session, Webhook, webhook_id)
    return read_page(select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id), paging)


@router.post("/{id}/replay", response_model=WebhookDeliveryRead, responses=problems(404))
async def replay_delivery(delivery_id: PathId, session: WriteSession, staff: Staff) -> WebhookDelivery:
    """Send an event again, with new attempts, whatever became of its delivery."""
    delivery = await get_or_404(session, WebhookDelivery, delivery_id, lock=True)
    delivery.begin_anew()
    await session.flush()
    return delivery


@under_webhooks.post("/replay", responses=problems(404))
async def replay_events(
    webhook_id: PathId, data: WebhookReplay, session: WriteSession, staff: Staff
) -> WebhookReplayed:
    """Send all events since a moment again, in order, and those too that happened while the webhook was disabled.

    Up to 20,000 are sent again by one request: where there are more, `until` divides them.
    """
    webhook = await get_or_404(session, Webhook, webhook_id, lock=True)
    events = await _events_of(session, webhook, data)
    await _refuse_too_many(session, events)
    its = col(WebhookDelivery.webhook_id) == webhook.id
    again = exists(col(Event.id)).where(col(Event.id) == col(WebhookDelivery.event_id), *events)
    await session.exec(delete(WebhookDelivery).where(its, again))
    # New rows, because deliveries of one subject are sent in the order of their ids.
    sent = select(col(Event.id), literal(webhook.id), col(Event.subject)).where(*events).order_by(col(Event.position))
    write = insert(WebhookDelivery).from_select(["event_id", "webhook_id", "subject"], sent)
    written = await session.exec(write, execution_options={"preserve_rowcount": True})
    return WebhookReplayed(events=written.rowcount)


async def _events_of(session: AsyncSession, webhook: Webhook, data: WebhookReplay) -> list[ColumnElement[bool]]:
    """The events that a webhook wants, of those that webhooks have been told of: it will be told of later ones yet."""
    told = (await session.exec(select(Job.position).where(Job.name == FOLLOWER))).first() or 0
    found = [col(Event.position) <= told, col(Event.timestamp) >= data.since]
    if data.until is not None:
        found.append(col(Event.timestamp) < data.until)
    if webhook.types:
        found.append(col(Event.type).in_(webhook.types))
    return found


async def _refuse_too_many(session: AsyncSession, events: Sequence[ColumnElement[bool]]) -> None:
    """All are written in the time of one request, in which others wait for the webhook's row."""
    moments = select(col(Event.timestamp)).where(*events).order_by(col(Event.timestamp))
    if (first_beyond := (await session.exec(moments.offset(MAX_REPLAYED).limit(1))).first()) is not None:
        end = first_beyond.isoformat().replace("+00:00", "Z")
        raise Unprocessable(
            "body.until", f"must be {end} or earlier, because there are more than {MAX_REPLAYED:,} events"
        )
