"""The channel of mail: each mail is made when its turn comes, with the secret of its link, and handed to the server.

Where the server takes no mail at all, everything waits, and the log has one line for each time it is tried again.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any, ClassVar

from sqlmodel import col, false, update

from api.auth.tokens import hash_token
from api.backoff import backoff
from api.database.sessions import Database
from api.mail.contents import Contents, contents_of
from api.mail.following import LONGEST_WAIT, queue_mails
from api.mail.letters import Letters
from api.mail.messages import BadAddress
from api.mail.rendering import BrokenTemplate
from api.mail.smtp import MailFailure, Refused, ServerDown, send
from api.models.base import utcnow
from api.models.mail import LINK_KINDS, Mail, MailKind
from api.models.outgoing import OutgoingStatus
from api.rules.mailed_links import LIFETIMES
from api.rules.registration import tell_users_instead
from api.settings import Settings
from api.worker.channels import Channel, Outcome
from api.worker.fan_out import Follower

logger = logging.getLogger(__name__)

CONNECTIONS = 5
"""At a time to the mail server: those of hosting companies allow some ten."""

FIRST_BACKOFF, LONGEST_BACKOFF = 60.0, 4 * 3600.0
"""Seconds to wait at most before a mail is tried again."""

SHORTEST_PAUSE, FIRST_PAUSE, LONGEST_PAUSE = 5.0, 30.0, 300.0
"""Seconds without any mail, while the server takes none. Somebody may be waiting for a new password."""

MAIL_FOLLOWER = Follower("mail", queue_mails)

Letter = EmailMessage | Refused | BrokenTemplate
"""A mail, or why there is none."""


class MailChannel(Channel[Mail]):
    name: ClassVar[str] = "mail"
    model = Mail
    time_limit: ClassVar[float] = 120
    """Seconds, in which the mail waits for its turn too."""

    def __init__(self, settings: Settings) -> None:
        self._server, self._sender = settings.smtp_server, settings.sender
        self._letters = Letters(settings)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._paused_until: datetime | None = None
        self._pauses = 0

    def candidates(self, now: datetime) -> Any:
        rows = super().candidates(now)
        return rows.where(false()) if self._is_paused(now) else rows

    async def load(self, database: Database, rows: Sequence[Mail]) -> Mapping[int, Letter]:
        rows = await self._to_send(database, rows)
        async with database.reads() as session:
            contents = {row.id: await contents_of(session, row) for row in rows}
        with_link = [row for row in rows if row.kind in LINK_KINDS and isinstance(contents[row.id], Contents)]
        tokens = await self._new_tokens(database, with_link)
        lost = {row.id for row in with_link} - tokens.keys()
        return {
            row.id: self._letter(row, contents[row.id], tokens.get(row.id, "")) for row in rows if row.id not in lost
        }

    async def _to_send(self, database: Database, rows: Sequence[Mail]) -> Sequence[Mail]:
        """Whose address has an account by now is told so, and not asked to confirm anything."""
        registering = [row for row in rows if row.kind is MailKind.REGISTRATION]
        if not registering:
            return rows
        async with database.transaction() as session:
            dropped = await tell_users_instead(session, registering)
        return [row for row in rows if row.id not in dropped]

    async def _new_tokens(self, database: Database, rows: Sequence[Mail]) -> dict[int, str]:
        """New secrets for links, of which the hashes are stored. One that was sent before works no longer."""
        tokens: dict[int, str] = {}
        if not rows:
            return tokens
        async with database.transaction() as session:
            for row in rows:
                token, mine = secrets.token_urlsafe(32), (col(Mail.id) == row.id, col(Mail.claim) == row.claim)
                values = {"token_hash": hash_token(token), "token_expires_at": utcnow() + LIFETIMES[row.kind]}
                if (await session.exec(update(Mail).where(*mine).values(values))).rowcount:
                    tokens[row.id] = token
        return tokens

    def _letter(self, row: Mail, contents: Contents | str, token: str) -> Letter:
        if isinstance(contents, str):
            return Refused(contents)
        if utcnow() - row.created_at > LONGEST_WAIT:
            return Refused(row.error or "It has waited for too long.")
        try:
            return self._letters.message(row, contents, token)
        except BadAddress as error:
            return Refused(str(error))
        except BrokenTemplate as error:
            return error

    async def send(self, row: Mail, letter: Letter) -> Outcome:
        failure = await self._in_turn(letter) if isinstance(letter, EmailMessage) else letter
        if failure is None:
            return Outcome(OutgoingStatus.SENT)
        if isinstance(failure, BrokenTemplate):
            logger.error("mail %s cannot be made, and is tried again: %s", row.id, failure)
        if isinstance(failure, Refused):
            return Outcome(OutgoingStatus.FAILED, str(failure))
        if isinstance(failure, ServerDown):  # which is no attempt of this mail
            return Outcome(OutgoingStatus.PENDING, str(failure), self._paused_until, {"attempts": row.attempts})
        wait = backoff(row.attempts + 1, first=FIRST_BACKOFF, longest=LONGEST_BACKOFF)
        return Outcome(OutgoingStatus.PENDING, str(failure), utcnow() + timedelta(seconds=wait))

    async def _in_turn(self, message: EmailMessage) -> MailFailure | BrokenTemplate | None:
        async with self._turns:
            return await self._hand_over(message)

    async def _hand_over(self, message: EmailMessage) -> MailFailure | None:
        to = message["To"].addresses[0].addr_spec
        if self._server is None:  # in development
            logger.info("Mail to %s: %s\n\n%s", to, message["Subject"], _text_of(message))
            return None
        if self._is_paused(utcnow()):
            return ServerDown("The mail server takes no mail at present.")
        try:
            await send(self._server, message, sender=self._sender, to=to)
        except ServerDown as failure:
            self._pause(failure)
            return failure
        except MailFailure as failure:
            self._go_on()
            return failure
        self._go_on()
        return None

    def _is_paused(self, now: datetime) -> bool:
        return self._paused_until is not None and now < self._paused_until

    def _pause(self, failure: ServerDown) -> None:
        if self._is_paused(utcnow()):  # another mail was sent at the same time
            return
        self._pauses += 1
        seconds = max(SHORTEST_PAUSE, backoff(self._pauses, first=FIRST_PAUSE, longest=LONGEST_PAUSE))
        self._paused_until = utcnow() + timedelta(seconds=seconds)
        logger.error("No mail is sent: %s. It is tried again in %d seconds.", failure, seconds)

    def _go_on(self) -> None:
        if self._pauses:
            logger.info("The mail server takes mail again.")
        self._pauses, self._paused_until = 0, None


def _text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    return "" if part is None else str(part.get_content())
