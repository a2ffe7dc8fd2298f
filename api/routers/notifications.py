"""/notifications: what the caller should know."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel import col, select, update

from api.auth import CurrentUser
from api.database import ReadSession, WriteSession
from api.errors import problems
from api.loading import PathId, one_or_404
from api.models import Notification, NotificationRead
from api.models.base import utcnow
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.transactions import TransactionRoute

router = APIRouter(prefix="/notifications", tags=["notifications"], route_class=TransactionRoute)


@router.get("", response_model=Page[NotificationRead] | CursorPage[NotificationRead])
async def list_notifications(
    session: ReadSession,
    user: CurrentUser,
    paging: PagingParams,
    unread: Annotated[bool | None, Query(description="Only unread, or only read ones.")] = None,
) -> Page[Notification] | CursorPage[Notification]:
    """List one's notifications, the newest first."""
    notifications = select(Notification).where(Notification.user_id == user.id)
    if unread is not None:
        notifications = notifications.where(col(Notification.read_at).is_(None) == unread)
    return await paginate(session, notifications, paging, model=Notification)


@router.post("/{id}/read", response_model=NotificationRead, responses=problems(404))
async def mark_notification_read(notification_id: PathId, session: WriteSession, user: CurrentUser) -> Notification:
    """Mark a notification as read; the first time counts."""
    own = (col(Notification.id) == notification_id, col(Notification.user_id) == user.id)
    await session.exec(
        update(Notification)
        .where(*own, col(Notification.read_at).is_(None))
        .values(read_at=utcnow())
        .execution_options(synchronize_session=False)
    )
    return await one_or_404(session, Notification, *own)
