"""Lists with a search: all rows that are found come first, and then the part of them that is asked for.

A database that walks a list in its order until it has twenty rows that match would walk a million rows for a text that
three of them have, and it cannot know: a statement is planned once for all texts.
"""

from typing import Any

from sqlalchemy import CTE, Column, Select
from sqlalchemy.sql.visitors import iterate
from sqlmodel import func

from api.models.searchable import Searchable
from api.reads.keyset import Keyset
from api.reads.rows import model_of


def is_search(statement: Select[Any]) -> bool:
    """Whether rows are found by what they are searched for."""
    model = model_of(statement)
    if statement.whereclause is None or not issubclass(model, Searchable):
        return False
    hay = model.__table__.c.search_text
    return any(isinstance(each, Column) and each.name == hay.name for each in iterate(statement.whereclause))


def found_rows(statement: Select[Any], order: Keyset) -> CTE:
    """The keys of all rows that a statement finds, each with the number of them as `total`."""
    keys = statement.with_only_columns(*order.columns, func.count().over().label("total"))
    return keys.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
