"""The audit trail: who changed what, when, and with which token."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, JsonValue
from pydantic import Field as Limits
from sqlmodel import JSON, Field, Index

from api.models.base import NotAudited, Schema, one_of, utcnow
from api.models.columns import EnumValue
from api.models.texts import LINE
from api.models.types import Id

MAX_REQUEST_ID_LENGTH = 128

INSERT_ONLY = "the audit trail is insert-only"

EntityName = Annotated[str, Limits(max_length=64, description="The name of the table.", examples=["products"]), LINE]
RowId = Annotated[
    Id, Limits(description="Of a table without ids, such as `post_tags`, the first column of its key.", examples=[1])
]
RequestId = Annotated[
    str | None,
    Limits(
        max_length=MAX_REQUEST_ID_LENGTH,
        description="The `X-Request-ID` of the request's answer; null for a command.",
        examples=["4f2a8c1e9b7d43658f0a1c2b3d4e5f60"],
    ),
    LINE,
]
CommandName = Annotated[
    str | None, Limits(max_length=50, description="The command of `python -m api`.", examples=["create-admin"]), LINE
]
ActorId = Annotated[
    Id | None, Limits(description="The user who made the change; null for a command, or for nobody who is signed in.")
]
TokenId = Annotated[Id | None, Limits(description="The session or API key that the request came with.", examples=[1])]
Change = Annotated[
    list[JsonValue] | None,
    Limits(description="From and to. Null for a secret or a personal value, of which only the change is kept."),
]
Changes = Annotated[dict[str, Change], Limits(examples=[{"price": ["79.99", "69.99"]}])]


class AuditAction(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"


class AuditEntryBase(Schema):
    """A client writes none: each change adds its own."""

    action: AuditAction = Field(sa_type=EnumValue(AuditAction))
    entity: EntityName
    row_id: RowId
    user_id: ActorId = None
    token_id: TokenId = None
    command: CommandName = None
    request_id: RequestId = None


class AuditEntry(AuditEntryBase, table=True):
    """Insert-only, in the transaction of the change. It refers to its row, user and token by number, and outlives
    all of them."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        one_of("action", AuditAction),
        Index(None, "entity", "row_id", "id"),
        Index(None, "entity", "id"),
        Index(None, "user_id", "id"),
        Index(None, "created_at", postgresql_using="brin"),  # which costs next to nothing: rows come in this order
    )
    not_audited: ClassVar[NotAudited] = "it is the trail itself"

    id: Id = Field(default=None, primary_key=True)
    changes: dict[str, Any] = Field(sa_type=JSON)
    created_at: AwareDatetime = Field(default_factory=utcnow)


class AuditEntryRead(AuditEntryBase):
    id: Id
    changes: Changes
    created_at: datetime
