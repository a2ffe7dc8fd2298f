"""Webhooks that the shop disabled: staff learn of it, or nobody would for weeks."""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.mail import Mail, MailKind
from api.models.notification import MAX_MESSAGE_LENGTH, NotificationKind
from api.models.user import User
from api.models.webhook import Webhook
from api.rules.notifications import notify


async def tell_staff(session: AsyncSession, webhook_id: int, *, by_mail: bool) -> None:
    """Notify every active staff user of a webhook that was disabled in this transaction, and queue a mail to each."""
    webhook = (await session.exec(select(Webhook).where(Webhook.id == webhook_id))).one()
    message = f"The {webhook.called} was disabled. {webhook.disabled_reason}"
    staff = select(User.id).where(col(User.is_superuser), col(User.is_active)).order_by(col(User.id))
    for user_id in (await session.exec(staff)).all():
        await notify(session, user_id, NotificationKind.WEBHOOK_DISABLED, message[:MAX_MESSAGE_LENGTH])
        if by_mail:
            session.add(Mail(kind=MailKind.WEBHOOK_DISABLED, user_id=user_id, about=f"webhooks/{webhook.id}"))
    await session.flush()
