"""Who changed what: every change of a row, with its user, token and request. Staff read it, and nobody changes it."""

from typing import Annotated, Self

from fastapi import Query
from pydantic import AfterValidator, Field, model_validator
from sqlmodel import col, select

from api.auth.callers import Staff
from api.errors import Unprocessable
from api.models.audit_entry import AuditAction, AuditEntry, AuditEntryRead
from api.models.types import Time, without_nul
from api.reads.pages import read_page
from api.reads.rows import Read
from api.web.loading import QueryId
from api.web.pagination import CursorPage, Page, Paging
from api.web.routing import Router

router = Router("/audit", tag="audit")

EntityFilter = Annotated[str, Field(max_length=64, examples=["products"]), AfterValidator(without_nul)]


class AuditList(Paging):
    entity: EntityFilter | None = Field(default=None, description="Only changes of rows of this table.")
    row_id: QueryId | None = Field(
        default=None, description="Only changes of the row with this id; together with `entity`."
    )
    user_id: QueryId | None = Field(default=None, description="Only changes by this user.")
    action: AuditAction | None = Field(default=None, description="Only changes of this kind.")
    since: Time | None = Field(default=None, description="Only changes at this time or later.")
    until: Time | None = Field(default=None, description="Only changes before this time.")

    @model_validator(mode="after")
    def _row_of_a_table(self) -> Self:
        if self.row_id is not None and self.entity is None:
            raise Unprocessable("query.row_id", "must be sent together with entity: ids of several tables are alike")
        return self


@router.get("", response_model=Page[AuditEntryRead] | CursorPage[AuditEntryRead])
async def list_audit_entries(staff: Staff, query: Annotated[AuditList, Query()]) -> Read:
    """List changes, the newest first. Of secrets and of personal values it says only that they changed."""
    entries = select(AuditEntry)
    if query.entity is not None:
        entries = entries.where(AuditEntry.entity == query.entity)
    if query.row_id is not None:
        entries = entries.where(AuditEntry.row_id == query.row_id)
    if query.user_id is not None:
        entries = entries.where(AuditEntry.user_id == query.user_id)
    if query.action is not None:
        entries = entries.where(AuditEntry.action == query.action)
    if query.since is not None:
        entries = entries.where(col(AuditEntry.created_at) >= query.since)
    if query.until is not None:
        entries = entries.where(col(AuditEntry.created_at) < query.until)
    return read_page(entries, query)
