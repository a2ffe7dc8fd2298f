"""Throttling: a client that fails too often has to wait, whichever worker answers it.

Attempts are counted in fixed windows of time (OWASP Authentication Cheat Sheet, "Account Lockout"). A name without an
account is counted like any other, so that a refusal does not tell who has an account.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from fastapi import Request
from sqlalchemy import ColumnElement
from sqlalchemy.exc import IntegrityError
from sqlmodel import and_, col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import TooManyRequests
from api.models.attempt import Attempt, AttemptKind
from api.models.base import utcnow
from api.settings import Settings

WINDOW = timedelta(minutes=15)
"""Long enough to make guessing pointless at ten attempts a window, short enough for somebody who mistyped to wait."""

Subjects = Mapping[AttemptKind, str]
"""What is counted, and for which account or client address."""


def client_address(request: Request) -> str:
    """The client's address; behind a proxy that `FORWARDED_ALLOW_IPS` names, the one that the proxy gives."""
    return request.client.host if request.client else "unknown"


def address_of(request: Request) -> str:
    """What is counted for a client: see `network_of`."""
    return network_of(client_address(request))


def network_of(host: str) -> str:
    """What stands for a client: of IPv6 its network, because a client that has one address there has all of it.

    A server that listens on both kinds sees IPv4 as `::ffff:192.0.2.1`, which is an address by itself.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


async def refuse_at_limit(session: AsyncSession, subjects: Subjects, settings: Settings) -> None:
    """Refuse a client that has used up its attempts.

    Raises:
        TooManyRequests: One of the limits is reached in this window.
    """
    await _refuse(session, subjects, settings, already_counted=0)


async def count_or_refuse(session: AsyncSession, subjects: Subjects, settings: Settings) -> None:
    """Count one more attempt, whether or not it succeeds later; of many at once no more pass than the limit.

    Raises:
        TooManyRequests: It was one too many.
    """
    await count(session, subjects)
    await _refuse(session, subjects, settings, already_counted=1)


async def _refuse(session: AsyncSession, subjects: Subjects, settings: Settings, *, already_counted: int) -> None:
    """`already_counted` is 1 where the present attempt is among those that were counted."""
    rows = or_(*(_row(kind, subject) for kind, subject in subjects.items()))
    counts = await session.exec(select(col(Attempt.kind), col(Attempt.count)).where(rows))
    if any(count - already_counted >= getattr(settings, kind) for kind, count in counts):
        remaining = _window_start() + WINDOW - utcnow()
        raise TooManyRequests(
            "Too many attempts. Try again later.", retry_after=max(1, ceil(remaining.total_seconds()))
        )


async def count(session: AsyncSession, subjects: Subjects) -> None:
    """Count one more attempt. Rows are always locked in the same order."""
    for kind, subject in sorted(subjects.items()):
        more = update(Attempt).where(_row(kind, subject)).values(count=col(Attempt.count) + 1)
        if (await session.exec(more)).rowcount:
            continue
        try:
            async with session.begin_nested():
                session.add(Attempt(kind=kind, subject=_hash(subject), window_start=_window_start()))
        except IntegrityError:  # another request added the row
            await session.exec(more)


async def purge(session: AsyncSession) -> int:
    """Delete the attempts of past windows, and return how many rows those were."""
    past = delete(Attempt).where(col(Attempt.window_start) < _window_start())
    return (await session.exec(past)).rowcount


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
