"""Jobs: what the worker does in time, and how far it is."""

from typing import Annotated, ClassVar

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlmodel import Field, SQLModel

from api.models.base import NotAudited, utcnow
from api.models.types import MAX_ID

MAX_ERROR_LENGTH = 500

JobName = Annotated[str, Limits(max_length=50, examples=["purge"])]
JobError = Annotated[str | None, Limits(max_length=MAX_ERROR_LENGTH)]
Position = Annotated[int, Limits(ge=0, le=MAX_ID)]


class Job(SQLModel, table=True):
    """One of the jobs that `api/worker/` names: when it is due, who runs it, and how it ended."""

    __tablename__ = "jobs"
    not_audited: ClassVar[NotAudited] = "the worker's own notes"

    name: JobName = Field(primary_key=True)
    due_at: AwareDatetime = Field(default_factory=utcnow)
    claimed_until: AwareDatetime | None = None
    """The end of the lease of the worker that runs it. A worker that was killed leaves it to another one then."""
    finished_at: AwareDatetime | None = None
    """When it last ended well."""
    failures: int = Field(default=0)
    """How often it has failed since."""
    error: JobError = None
    """Why it failed last; null once it ended well."""
    position: Position = Field(default=0)
    """The last number that it has given or read, of a job that goes on where it stopped."""
