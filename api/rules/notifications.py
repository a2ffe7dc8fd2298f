"""Notifications: written beside what they tell of, and never in its way."""

import logging

from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database_errors import is_transient
from api.models import Notification

logger = logging.getLogger(__name__)


async def notify(session: AsyncSession, notification: Notification) -> None:
    """Leave a note for a user, in a savepoint: where it cannot be written, everything else stands."""
    try:
        async with session.begin_nested():
            session.add(notification)
    except DBAPIError as error:
        if is_transient(error) or error.connection_invalidated:  # the whole transaction is lost, not this savepoint
            raise
        logger.exception("a notification could not be written")
