"""What became of each mail of the shop. Staff read it; a mail's words are shown in the admin."""

from typing import Annotated

from fastapi import Query
from pydantic import Field
from sqlmodel import select

from api.auth.callers import Staff
from api.models.mail import Mail, MailKind, MailRead
from api.models.outgoing import OutgoingStatus
from api.reads.pages import read_page
from api.reads.rows import Read, read_one
from api.web.loading import PathId, QueryId
from api.web.pagination import CursorPage, Page, Paging
from api.web.problems import problems
from api.web.routing import Router

router = Router("/mails", tag="mails")


class MailList(Paging):
    kind: MailKind | None = Field(default=None, description="Only mails of this kind.")
    status: OutgoingStatus | None = Field(default=None, description="Only mails with this status.")
    user_id: QueryId | None = Field(default=None, description="Only mails to this user.")


@router.get("", response_model=Page[MailRead] | CursorPage[MailRead])
async def list_mails(staff: Staff, query: Annotated[MailList, Query()]) -> Read:
    """List mails, the newest first. Those that were sent or failed are kept for thirty days."""
    mails = select(Mail)
    if query.kind is not None:
        mails = mails.where(Mail.kind == query.kind)
    if query.status is not None:
        mails = mails.where(Mail.status == query.status)
    if query.user_id is not None:
        mails = mails.where(Mail.user_id == query.user_id)
    return read_page(mails, query)


@router.get("/{id}", response_model=MailRead, responses=problems(404))
async def read_mail(mail_id: PathId, staff: Staff) -> Read:
    """Read what became of a mail."""
    return read_one(select(Mail).where(Mail.id == mail_id))
