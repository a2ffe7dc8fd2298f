"""What happened to the caller's orders and store credit."""

from typing import Annotated

from fastapi import Query
from pydantic import Field
from sqlmodel import col, select, update

from api.auth.callers import CurrentUser
from api.models.base import utcnow
from api.models.notification import Notification, NotificationRead
from api.reads.pages import read_page
from api.reads.rows import Read
from api.web.loading import PathId, one_or_404
from api.web.pagination import CursorPage, Page, Paging
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import WriteSession

router = Router("/notifications", tag="notifications")


class NotificationList(Paging):
    unread: bool | None = Field(default=None, description="`true`: only unread; `false`: only read.")


@router.get("", response_model=Page[NotificationRead] | CursorPage[NotificationRead])
async def list_notifications(user: CurrentUser, query: Annotated[NotificationList, Query()]) -> Read:
    """List the caller's notifications, the newest first."""
    notifications = select(Notification).where(Notification.visible_to(user))
    if query.unread is not None:
        notifications = notifications.where(col(Notification.read_at).is_(None) == query.unread)
    return read_page(notifications, query)


@router.post("/{id}/read", response_model=NotificationRead, responses=problems(404))
async def mark_notification_read(notification_id: PathId, session: WriteSession, user: CurrentUser) -> Notification:
    """Mark a notification as read. `read_at` keeps the time of the first request."""
    this = (col(Notification.id) == notification_id, Notification.visible_to(user))
    unread = update(Notification).where(*this, col(Notification.read_at).is_(None))
    await session.exec(unread.values(read_at=utcnow()))
    return await one_or_404(session, Notification, *this)
