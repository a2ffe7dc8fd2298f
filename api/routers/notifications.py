"""What happened to the caller's orders and store credit."""

from typing import Annotated

from fastapi import Query
from sqlmodel import col, select, update

from api.auth.callers import CurrentUser
from api.models.base import utcnow
from api.models.notification import Notification, NotificationRead
from api.web.loading import PathId, one_or_404
from api.web.pagination import CursorPage, Page, PagingParams, paginate
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import ReadSession, WriteSession

router = Router("/notifications", tag="notifications")


@router.get("", response_model=Page[NotificationRead] | CursorPage[NotificationRead])
async def list_notifications(
    session: ReadSession,
    user: CurrentUser,
    paging: PagingParams,
    unread: Annotated[bool | None, Query(description="`true`: only unread; `false`: only read.")] = None,
) -> Page[Notification] | CursorPage[Notification]:
    """List the caller's notifications, the newest first."""
    notifications = select(Notification).where(Notification.visible_to(user))
    if unread is not None:
        notifications = notifications.where(col(Notification.read_at).is_(None) == unread)
    return await paginate(session, notifications, paging, model=Notification)


@router.post("/{id}/read", response_model=NotificationRead, responses=problems(404))
async def mark_notification_read(notification_id: PathId, session: WriteSession, user: CurrentUser) -> Notification:
    """Mark a notification as read. `read_at` keeps the time of the first request."""
    this = (col(Notification.id) == notification_id, Notification.visible_to(user))
    unread = update(Notification).where(*this, col(Notification.read_at).is_(None))
    await session.exec(unread.values(read_at=utcnow()))
    return await one_or_404(session, Notification, *this)
