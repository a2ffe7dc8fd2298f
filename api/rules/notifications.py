"""Notifications: written beside what they tell of, and never in its way."""

import logging

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models import Notification

logger = logging.getLogger(__name__)


async def notify(session: AsyncSession, notification: Notification) -> None:
    """Leave a note for a user, in a savepoint: where it cannot be written, everything else stands."""
    try:
        async with session.begin_nested():
            session.add(notification)
    except IntegrityError:
        logger.exception("a notification could not be written")
