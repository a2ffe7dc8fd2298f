"""Notifications: written beside the change that they tell of, which stands even where they fail."""

import logging

from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import is_transient
from api.models.notification import Notification

logger = logging.getLogger(__name__)


async def notify(session: AsyncSession, notification: Notification) -> None:
    """Notify a user, in a savepoint: where the row cannot be written, everything else stands."""
    try:
        async with session.begin_nested():
            session.add(notification)
    except DBAPIError as error:
        if is_transient(error) or error.connection_invalidated:  # the whole transaction is lost, not this savepoint
            raise
        logger.exception("A notification could not be written.")
