"""Versions: which edition of a row somebody has read, so that nobody overwrites another one unknowingly.

A version rises by one with each change of what people edit, and not with what the shop changes by itself: a sale, a
view, a sign-in. What writes a row raises it, and no router does:

- A session that flushes a row does it here. Its UPDATE also names the version that was read (`version_id_col`): a row
  that was edited meanwhile is not overwritten, also where it was not locked, and the request is run again.
- `api/database/versions.py` adds it to an UPDATE statement, whether a session runs it or the driver.

What a request says of versions: `api/web/preconditions.py`.
"""

from typing import Annotated, Any, ClassVar

from pydantic import Field as Limits
from sqlalchemy import Connection, event, inspect
from sqlalchemy.orm import Mapper, declared_attr
from sqlmodel import Field

from api.models.base import NotAudited, Schema, Timestamps
from api.models.types import MAX_ID

Version = Annotated[int, Limits(ge=1, le=MAX_ID, examples=[3])]


class Versioned(Timestamps):
    """The times and the version of a row that people edit, set by the shop and never by a client."""

    not_audited: ClassVar[NotAudited] = {"version": "it counts edits, each of which has an entry"}
    versioned_by: ClassVar[str] = "version"
    """The column that tells one edition of a row from all others."""

    edited: ClassVar[tuple[str, ...]] = ()
    """What people edit beside the fields of the class's `Base`."""

    version: Version = Field(default=1, nullable=False)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805
        column = cls.metadata.tables[str(cls.__tablename__)].c.version
        return {"version_id_col": column, "version_id_generator": False}

    @classmethod
    def edited_columns(cls) -> frozenset[str]:
        """What people edit, and a version guards: what a client may write, and `edited`."""
        written = (base.model_fields for base in cls.__mro__ if base is not cls and issubclass(base, Schema))
        return frozenset(name for fields in written for name in fields).union(cls.edited)

    def raise_version(self) -> None:
        """Note an edit of what stands in no column; one of a column is noted by itself. A new row has its first one."""
        if inspect(self).persistent and not inspect(self).attrs["version"].history.has_changes():
            self.version += 1


def version_of(row: object) -> Any:
    """The version of a row, or of the Read class of one; `None` where it has none."""
    return getattr(row, getattr(row, "versioned_by", "version"), None)


@event.listens_for(Versioned, "before_update", propagate=True)
def _raise_version(mapper: Mapper[Any], connection: Connection, row: Versioned) -> None:
    attributes = inspect(row).attrs
    if any(attributes[name].history.has_changes() for name in row.edited_columns()):
        row.raise_version()
