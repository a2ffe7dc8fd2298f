"""Throttling: who fails too often has to wait, whichever worker is asked.

Attempts are counted in fixed windows of time (OWASP Authentication Cheat Sheet, "Account Lockout"). A name that nobody
has is counted like any other, so that a refusal tells nothing of who has an account.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from sqlalchemy import ColumnElement
from sqlalchemy.exc import IntegrityError
from sqlmodel import and_, col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import TooManyRequests
from api.models import Attempt, AttemptKind
from api.models.base import utcnow
from api.settings import Settings

WINDOW = timedelta(minutes=15)

Subjects = Mapping[AttemptKind, str]
"""Who tries, by what is counted: an account's name, or a client's address."""


def address_of(host: str) -> str:
    """What stands for a client: of IPv6 its network, because whoever has one address there has all of it.

    A server that listens on both sees IPv4 as `::ffff:192.0.2.1`, which is an address by itself.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


async def check(session: AsyncSession, subjects: Subjects, settings: Settings) -> None:
    """Let pass who may try once more.

    Raises:
        TooManyRequests: One of the limits is reached in this window.
    """
    await _refuse_beyond(session, subjects, settings, spent=0)


async def spend(session: AsyncSession, subjects: Subjects, settings: Settings) -> None:
    """Count one more attempt, whatever becomes of it; of many at once no more pass than may.

    Raises:
        TooManyRequests: It was one too many.
    """
    await count(session, subjects)
    await _refuse_beyond(session, subjects, settings, spent=1)


async def _refuse_beyond(session: AsyncSession, subjects: Subjects, settings: Settings, *, spent: int) -> None:
    """`spent` is what was counted already of the attempt that is asked about."""
    rows = or_(*(_row(kind, subject) for kind, subject in subjects.items()))
    tried = await session.exec(select(col(Attempt.kind), col(Attempt.count)).where(rows))
    if any(count - spent >= getattr(settings, kind) for kind, count in tried):
        left = _window_start() + WINDOW - utcnow()
        raise TooManyRequests("Too many attempts; try again later.", retry_after=max(1, ceil(left.total_seconds())))


async def count(session: AsyncSession, subjects: Subjects) -> None:
    """Count one more attempt, in the same order of rows always."""
    for kind, subject in sorted(subjects.items()):
        more = update(Attempt).where(_row(kind, subject)).values(count=col(Attempt.count) + 1)
        if (await session.exec(more)).rowcount:
            continue
        try:
            async with session.begin_nested():
                session.add(Attempt(kind=kind, subject=_hash(subject), window_start=_window_start()))
        except IntegrityError:  # another request was quicker
            await session.exec(more)


async def purge(session: AsyncSession) -> int:
    """Forget the attempts of past windows, and say how many rows those were."""
    past = delete(Attempt).where(col(Attempt.window_start) < _window_start())
    return (await session.exec(past.execution_options(synchronize_session=False))).rowcount


def _row(kind: AttemptKind, subject: str) -> ColumnElement[bool]:
    return and_(
        col(Attempt.kind) == kind,
        col(Attempt.subject) == _hash(subject),
        col(Attempt.window_start) == _window_start(),
    )


def _window_start() -> datetime:
    seconds = WINDOW.total_seconds()
    return datetime.fromtimestamp(utcnow().timestamp() // seconds * seconds, UTC)


def _hash(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()
