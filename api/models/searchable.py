"""Searching: a part of a text, without regard to case, alike on every database.

What a row is found by is stored in one folded text beside its columns, and what is searched for is folded by the same
function: three databases have three ideas of lower case. "Default caseless matching" in chapter 3.13 of the Unicode
Standard is the source. In a Turkish text, the capital İ is also found by a plain i.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from pydantic import Field as Limits
from sqlalchemy import ColumnElement, Connection, event
from sqlalchemy.orm import Mapper
from sqlmodel import SQLModel, col, true

from api.models.base import NotAudited

COMBINING_DOT = "\u0307"
SEPARATOR = "\n"
"""Between two columns; no folded text has a line break, so no search crosses it."""

INDEXED = re.compile(r"[^\W_]{3}")
"""Three letters or digits in a row: a trigram, without which PostgreSQL would read all of its index."""

FoldedText = Annotated[str | None, Limits(max_length=200_000)]
"""Folding makes a text three times as long at most, and the longest, a post's, has 50,200 characters."""


def fold(text: str) -> str:
    """A text without differences in case, in white space and in the way that an accent is written."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return " ".join(folded.replace(f"i{COMBINING_DOT}", "i").split())


class Searchable(SQLModel):
    """A table whose rows are found by a part of some of their texts.

    A statement that writes these columns past the session has to write `search_text` too.
    """

    not_audited: ClassVar[NotAudited] = {"search_text": "it is made of other columns"}

    searched: ClassVar[tuple[str, ...]]
    """The columns that a search looks into."""

    search_text: FoldedText = None
    """Null where a release before this column wrote the row; `api/database/search_texts.py` then fills it in."""

    @classmethod
    def search_text_of(cls, texts: Iterable[str | None]) -> str:
        """What is stored for the texts of the searched columns."""
        return SEPARATOR.join(fold(text or "") for text in texts)

    def update_search_text(self) -> None:
        self.search_text = self.search_text_of(getattr(self, name) for name in self.searched)

    @classmethod
    def matches(cls, text: str) -> ColumnElement[bool]:
        """The rows that have a text in one of their searched columns, as a condition."""
        wanted = fold(text)
        if not wanted:
            return true()
        hay: Any = col(cls.search_text)
        if not INDEXED.search(wanted):
            hay = hay.concat("")  # an expression, which has no index
        found: ColumnElement[bool] = hay.contains(wanted, autoescape=True)
        return found


@event.listens_for(Searchable, "before_insert", propagate=True)
@event.listens_for(Searchable, "before_update", propagate=True)
def _update_search_text(mapper: Mapper[Any], connection: Connection, row: Searchable) -> None:
    row.update_search_text()
