"""Lists in parts, as a client asks for them and gets them; `api/reads/pages.py` reads them."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, Self, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import Select

from api.errors import Unprocessable
from api.web.queries import EmptyIsAValue
from api.web.search import SearchText

T = TypeVar("T")
S = TypeVar("S", bound=Select[Any])

MAX_PAGE = 1_000_000
"""So that the rows to skip still fit into 64 bits; long before that a cursor is faster."""

MAX_PAGE_SIZE = 100
"""Rows: the longest answer, of whole products, stays below a megabyte."""

MAX_SKIP = MAX_PAGE * MAX_PAGE_SIZE
"""Rows: what the last of the longest pages skips."""

MAX_GROUPS = 1_000
"""Groups of one answer, such as categories: a few numbers each."""

MAX_CURSOR_LENGTH = 2_000
"""Characters: the longest column that lists are sorted by is a name of 200 characters, four bytes each in base64."""


class _Rows(BaseModel, Generic[T]):
    """What is named after its rows: `ProductPage` of `Page[ProductRead]`."""

    items: Sequence[T]

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__.replace('Read', '', 1)}{cls.__name__}"


class Page(_Rows[T], Generic[T]):
    """One page of a list, and its place in the list. A page beyond the end is empty."""

    total: int = Field(description="Number of rows in the whole list.", examples=[57])
    page: int = Field(description="After a `skip`, the page that the first row is on.", examples=[1])
    page_size: int = Field(examples=[20])
    total_pages: int = Field(examples=[3])
    has_next: bool = Field(description="Whether there are rows after these.", examples=[True])
    has_previous: bool = Field(description="Whether there are rows before these.", examples=[False])


class CursorPage(_Rows[T], Generic[T]):
    """The next rows of a list; `next_cursor` is null at its end."""

    next_cursor: str | None = Field(examples=["WyJpZCIsIDIwXQ"])


class Feed(_Rows[T], Generic[T]):
    """The next rows of a list that has no end."""

    next_cursor: str = Field(description="What to ask for next, whether there is something or not.", examples=["57"])


class Paging(BaseModel):
    """The query of a list. One that has filters too inherits from this: a route has one model of its query."""

    page: int = Field(default=1, ge=1, le=MAX_PAGE, description="Counted from 1.")
    page_size: int = Field(default=20, ge=1, le=MAX_PAGE_SIZE, description="Rows per page.")
    cursor: Annotated[str | None, EmptyIsAValue] = Field(
        default=None,
        max_length=MAX_CURSOR_LENGTH,
        description="Use it instead of `page`: empty for the first page, then the last answer's `next_cursor`.",
        json_schema_extra={"pattern": "^[A-Za-z0-9_-]*$"},
    )
    skip: int | None = Field(
        default=None, ge=0, le=MAX_SKIP, description="Rows to leave out, instead of `page` or `cursor`."
    )
    limit: int | None = Field(
        default=None, ge=1, le=MAX_PAGE_SIZE, description="Rows per page: another name of `page_size`."
    )

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        sent = self.model_fields_set
        if "skip" in sent and sent & {"page", "cursor"}:
            raise Unprocessable("query.skip", "must not be sent together with page or cursor")
        if "limit" in sent and "page_size" in sent:
            raise Unprocessable("query.limit", "must not be sent together with page_size, which means the same")
        return self

    @property
    def size(self) -> int:
        """How many rows are asked for."""
        return self.page_size if self.limit is None else self.limit

    @property
    def offset(self) -> int:
        """How many rows stand before those that are asked for."""
        return (self.page - 1) * self.size if self.skip is None else self.skip


class GroupPaging(BaseModel):
    """The query of figures by group, which are a plain list: the groups that are asked for."""

    page: int = Field(default=1, ge=1, le=MAX_PAGE, description="Counted from 1.")
    page_size: int = Field(default=MAX_GROUPS, ge=1, le=MAX_GROUPS, description="Groups per page.")

    def of(self, groups: S) -> S:
        return groups.limit(self.page_size).offset((self.page - 1) * self.page_size)


class SearchableList(Paging):
    """The query of a list with a search."""

    search: SearchText | None = None


PagingParams = Annotated[Paging, Query()]
GroupParams = Annotated[GroupPaging, Query()]
SearchParams = Annotated[SearchableList, Query()]
