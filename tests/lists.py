"""Reading lists as a client does: the fields of a page, and all rows of a list, page by page."""

from collections.abc import Awaitable, Callable
from typing import Any

from httpx import AsyncClient

EMPTY_PAGE = {
    "items": [],
    "total": 0,
    "page": 1,
    "page_size": 20,
    "total_pages": 0,
    "has_next": False,
    "has_previous": False,
}
"""The first page of a list without rows."""


def ids(page: Any) -> list[int]:
    """The ids of the rows on a page."""
    return [row["id"] for row in page["items"]]


def names(page: Any) -> list[str]:
    """The names of the rows on a page."""
    return [row["name"] for row in page["items"]]


async def walk(
    client: AsyncClient,
    path: str,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
    **params: Any,
) -> list[dict[str, Any]]:
    """Follow the cursors to the end of a list, and return the rows of all pages."""
    rows: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await client.get(path, params={**params, "cursor": cursor})).json()
        assert page.keys() == {"items", "next_cursor"}, f"{path} answers {page}"
        size, most = len(page["items"]), params.get("page_size", 20)
        assert 0 < size <= most or not rows, f"a page of {path} has {size} rows, not 1 to {most}"
        rows += page["items"]
        cursor = page["next_cursor"]
        if meanwhile is not None:
            await meanwhile()
    return rows
