"""The end of a session's transaction, and of its savepoints: what waits for it is written, or undone with the rest.

`Transaction` writes what waits itself, before the session commits; here is what a session does that commits by itself,
and what becomes of many rows.
"""

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction
from sqlmodel import insert

from api.database.outbox import outbox_of
from api.database.sqlalchemy_internals import ConnectingSession
from api.database.trail import trail_of
from api.database.waiting import Waiting

MAX_WAITING = 1_000
"""Entries, or events, that wait for the end of their transaction, or a long import would take memory."""


def write_many_waiting(session: Session) -> None:
    """Write what waits, where that is many rows by now. Those of one row still rise, because it stays locked."""
    if any(len(each) > MAX_WAITING for each in _waiting_in(session)):
        write_waiting(session)


def write_waiting(session: Session) -> None:
    """Write what waits; but not within a savepoint, which may be undone."""
    if session.in_nested_transaction():
        return
    for waiting in _waiting_in(session):
        if len(waiting):
            shared = waiting.shared()
            rows = [each | shared for each in waiting.take(len(waiting))]
            session.connection().execute(insert(waiting.table), rows)


def _waiting_in(session: Session) -> tuple[Waiting, ...]:
    return trail_of(session), outbox_of(session)


@event.listens_for(ConnectingSession, "before_commit")
def _write_rest(session: Session) -> None:
    session.flush()
    write_waiting(session)


@event.listens_for(ConnectingSession, "after_transaction_create")
def _note_savepoint(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        for waiting in _waiting_in(session):
            waiting.note_savepoint(transaction)


@event.listens_for(ConnectingSession, "after_soft_rollback")
def _forget_undone(session: Session, undone: SessionTransaction) -> None:
    for waiting in _waiting_in(session):
        if undone.nested:
            waiting.undo_savepoint(undone)
        elif undone.parent is None:
            waiting.forget()
