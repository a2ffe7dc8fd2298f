"""Where other programs are told of events, in place of asking for them. Staff keep webhooks.

Each delivery is an event as `GET /events` has it, sent by POST and signed as Standard Webhooks says. It is sent again
until the receiver answers with a 2xx. Deliveries of one subject come in order, and a repeated one under the same id.
A test is sent once.
"""

from typing import Annotated

from fastapi import Depends
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import Staff
from api.errors import Unprocessable
from api.models.base import utcnow
from api.models.outgoing import OutgoingStatus
from api.models.webhook import Webhook, WebhookCreate, WebhookRead, WebhookReadOnce, WebhookUpdate, new_secret
from api.models.webhook_delivery import WebhookDelivery, WebhookDeliveryRead
from api.reads.pages import read_page
from api.reads.rows import Read, read_one
from api.settings import Settings
from api.web.app_state import AppSettings
from api.web.loading import PathId, get_or_404
from api.web.pagination import CursorPage, Page, PagingParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import WriteSession

router = Router("/webhooks", tag="webhooks")


async def _webhook_to_write(webhook_id: PathId, session: WriteSession, staff: Staff) -> Webhook:
    return await get_or_404(session, Webhook, webhook_id, lock=True)


WebhookToWrite = Annotated[Webhook, Depends(_webhook_to_write)]


@router.get("", response_model=Page[WebhookRead] | CursorPage[WebhookRead])
async def list_webhooks(staff: Staff, paging: PagingParams) -> Read:
    """List webhooks, the newest first."""
    return read_page(select(Webhook), paging)


@router.get("/{id}", response_model=WebhookRead, responses=problems(404))
async def read_webhook(webhook_id: PathId, staff: Staff) -> Read:
    """Read a webhook, and why it is disabled, if it is."""
    return read_one(select(Webhook).where(Webhook.id == webhook_id))


@router.post("", status_code=201)
async def create_webhook(
    data: WebhookCreate, session: WriteSession, staff: Staff, settings: AppSettings
) -> WebhookReadOnce:
    """Add a webhook, which is told of what happens from now on. Only this answer contains its secret."""
    _demand_https(settings, data.url)
    webhook = Webhook.model_validate(data, update={"secret": new_secret()})
    session.add(webhook)
    await session.flush()
    return WebhookReadOnce.model_validate(webhook)


@router.patch("/{id}", response_model=WebhookRead, responses=problems(404))
async def update_webhook(
    data: WebhookUpdate, webhook: WebhookToWrite, session: WriteSession, settings: AppSettings
) -> Webhook:
    """Change only the fields that are sent. A webhook that is enabled again is sent what was waiting."""
    if "url" in data.model_fields_set:
        _demand_https(settings, data.url)
    webhook.sqlmodel_update(data.model_dump(exclude_unset=True))
    if webhook.is_active and data.model_fields_set & {"url", "is_active"}:
        webhook.forget_failures()
        await _send_what_waits(session, webhook)
    await session.flush()
    return webhook


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_webhook(webhook: WebhookToWrite, session: WriteSession) -> None:
    """Delete a webhook with its deliveries."""
    await session.exec(delete(Webhook).where(col(Webhook.id) == webhook.id))


@router.post("/{id}/secret", responses=problems(404))
async def rotate_webhook_secret(webhook: WebhookToWrite, session: WriteSession) -> WebhookReadOnce:
    """Replace the secret. Deliveries are signed with the old one too for 24 hours. Only this answer has the new one."""
    webhook.rotate_secret()
    await session.flush()
    return WebhookReadOnce.model_validate(webhook)


@router.post("/{id}/test", status_code=201, response_model=WebhookDeliveryRead, responses=problems(404))
async def test_webhook(webhook: WebhookToWrite, session: WriteSession) -> WebhookDelivery:
    """Send a test, also to a disabled webhook: signed, once, without consequences. Its delivery says how it went."""
    delivery = WebhookDelivery.test_of(webhook)
    session.add(delivery)
    await session.flush()
    return delivery


def _demand_https(settings: Settings, url: str) -> None:
    if settings.is_production and not url.startswith("https://"):
        raise Unprocessable("body.url", "must begin with https://")


async def _send_what_waits(session: AsyncSession, webhook: Webhook) -> None:
    """With new attempts: those at an earlier URL, and before somebody mended the receiver, speak for no giving up."""
    waiting = (
        col(WebhookDelivery.webhook_id) == webhook.id,
        col(WebhookDelivery.status) == OutgoingStatus.PENDING,
    )
    anew = {"due_at": utcnow(), "attempts": 0, "claim": None, "claimed_until": None}
    await session.exec(update(WebhookDelivery).where(*waiting).values(anew))
