"""Search: a text anywhere in others, without regard to case, alike on every database."""

from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import String, or_

from api.models.types import without_nul

MAX_SEARCH_LENGTH = 100
"""Characters: nobody types more into a search box."""

SearchText = Annotated[
    str,
    Limits(min_length=1, max_length=MAX_SEARCH_LENGTH, description="The text to search for, without regard to case."),
    AfterValidator(without_nul),
]


class _LowerCase(FunctionElement[str]):
    """A text in lower case, by the rules of the database."""

    type = String()
    inherit_cache = True


@compiles(_LowerCase)
def _lower(element: _LowerCase, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(_LowerCase, "postgresql")
def _lower_by_locale(element: _LowerCase, compiler: SQLCompiler, **options: Any) -> str:
    """By the database's locale: the column's own collation is "C", which knows only ASCII."""
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "default")'


def contains(text: str, *columns: Any) -> ColumnElement[bool]:
    """Whether any of the columns holds the text, without regard to case; `%` and `_` stand for themselves."""
    return or_(*(_LowerCase(column).contains(text.lower(), autoescape=True) for column in columns))
