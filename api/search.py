"""Search: a text found anywhere in others, whatever the case, alike on every database."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator
from sqlalchemy import ColumnElement, String, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from api.models.base import without_nul

SearchText = Annotated[
    str,
    Query(min_length=1, max_length=100, description="Found anywhere in the text, whatever the case."),
    AfterValidator(without_nul),
]


class _Folded(FunctionElement[str]):
    """A text in lower case, as its database knows it."""

    type = String()
    inherit_cache = True


@compiles(_Folded)
def _lower(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(_Folded, "postgresql")
def _lower_by_locale(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    """Not by the column's own collation, which is "C" and knows ASCII alone."""
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "default")'


def contains(text: str, *columns: Any) -> ColumnElement[bool]:
    """Whether any of the columns holds the text, whatever the case; `%` and `_` stand for themselves."""
    return or_(*(_Folded(column).contains(text.lower(), autoescape=True) for column in columns))
