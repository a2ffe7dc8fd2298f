"""What the worker sends out, each thing at least once: the columns of its rows, whatever is sent and to whom."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, SQLModel, col

from api.models.base import NotAudited, utcnow
from api.models.columns import EnumValue
from api.models.types import Id

MAX_ERROR_LENGTH = 500


class OutgoingStatus(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


OutgoingState = Annotated[OutgoingStatus, Limits(examples=["sent"])]
Attempts = Annotated[int, Limits(ge=0, le=1_000_000, description="How often it was sent, or tried.", examples=[1])]
OutgoingError = Annotated[
    str | None,
    Limits(max_length=MAX_ERROR_LENGTH, description="Why it failed last; null once it was sent.", examples=[None]),
]
Claim = Annotated[str | None, Limits(max_length=32)]


class Outgoing(SQLModel):
    """A row to be sent. Its table says `one_of("status", OutgoingStatus)`, has an index of `receiver` and `status`, and
    one that begins with `event_id`, such as that of a unique constraint.

    `api/worker/queue.py` claims it, has it sent, and notes what became of it. A row waits for an earlier one that is
    pending and has the same `receiver` and `topic`.
    """

    not_audited: ClassVar[NotAudited] = "the worker sends it, and notes that here"
    receiver: ClassVar[str]
    """The column that says to whom it is sent."""
    topic: ClassVar[str]
    """The column that says of what it tells: what is told of one thing is sent in order."""

    id: Id = Field(default=None, primary_key=True)
    event_id: Id | None = Field(default=None, foreign_key="events.id", ondelete="CASCADE")
    """The event that it tells of, and with which it goes; null where it tells of none."""
    status: OutgoingStatus = Field(default=OutgoingStatus.PENDING, sa_type=EnumValue(OutgoingStatus))
    attempts: int = Field(default=0)
    due_at: AwareDatetime = Field(default_factory=utcnow)
    """When it is to be sent, or to be tried again."""
    claim: Claim = None
    """Whose turn it is: a new random name for each claim."""
    claimed_until: AwareDatetime | None = None
    """The end of the claim. A worker that was killed leaves the row to another one then."""
    created_at: AwareDatetime = Field(default_factory=utcnow)
    sent_at: AwareDatetime | None = None
    error: OutgoingError = None

    @classmethod
    def is_awaited(cls) -> ColumnElement[bool]:
        """Rows that will be sent, as a condition: what they tell of has to stay until then."""
        return col(cls.status) == OutgoingStatus.PENDING

    def begin_anew(self) -> None:
        """Have it sent again, as if it had never been. What a worker does of it at this moment counts no more."""
        self.status, self.attempts, self.due_at = OutgoingStatus.PENDING, 0, utcnow()
        self.claim, self.claimed_until, self.sent_at, self.error = None, None, None, None
