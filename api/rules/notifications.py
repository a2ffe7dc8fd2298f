"""Notifications: written beside the change that they tell of, which stands even where they fail."""

import logging

from sqlalchemy.exc import DBAPIError
from sqlmodel import text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.errors import is_broken_connection, is_transient
from api.database.statements import Insertion, Statement
from api.models.notification import Notification, NotificationKind

logger = logging.getLogger(__name__)

SAVEPOINT = Statement(text("SAVEPOINT notification"))
ROLL_BACK = Statement(text("ROLLBACK TO SAVEPOINT notification"))
RELEASE = Statement(text("RELEASE SAVEPOINT notification"))
INSERT_NOTIFICATION = Insertion(Notification)


async def notify(
    session: AsyncSession, user_id: int, kind: NotificationKind, message: str, *, order_id: int | None = None
) -> None:
    """Notify a user, in a savepoint: where the row cannot be written, everything else stands."""
    driver = await driver_of(session)
    await driver.send(SAVEPOINT)
    try:
        row = INSERT_NOTIFICATION.values(user_id=user_id, kind=kind, message=message, order_id=order_id)
        await driver.execute(INSERT_NOTIFICATION.one, **row)
    except DBAPIError as error:
        if driver.failed_earlier or is_transient(error) or is_broken_connection(error):
            raise  # the whole transaction is lost, and not this savepoint alone
        await driver.execute(ROLL_BACK)
        logger.exception("A notification could not be written.")
    await driver.send(RELEASE)
