"""Filters that no index serves: each part of a list looks through so many rows at most, and none is left out."""

import csv
import io
from datetime import timedelta

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin import windows
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.order import OrderStatus
from api.models.product import Product
from tests.admin.support import Browser, links_of, words_of
from tests.factories import a_product, a_user, an_order
from tests.support import count_statements

ROWS = 4


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "ROWS_AT_MOST", ROWS)


@pytest.fixture
async def rare(session: AsyncSession) -> list[Product]:
    """Three products of twelve that are not for sale and older than the others, with a gap in the ids."""
    rows = []
    for number in range(12):
        is_rare = number % 5 == 0
        age = timedelta(days=900 if is_rare else 1)
        row_id = (7_000_001 if number < 6 else 7_900_001) + number
        product = await a_product(
            session, id=row_id, is_active=not is_rare, created_at=utcnow() - age, price=f"{number // 3}.50"
        )
        rows += [product] if is_rare else []
    return rows


def ids_in(html: str) -> list[int]:
    found = (each.rpartition("/")[2] for each in links_of(html, "/products/"))
    return [int(each) for each in found if each.isdigit()]


FILTERS = ["is_active=false", f"to={utcnow() - timedelta(days=500):%Y-%m-%d}"]


@pytest.mark.parametrize("query", FILTERS)
@pytest.mark.parametrize("sort", ["id", "-id", "price", "-price"])
async def test_parts_go_on_until_every_row_was_looked_at(
    admin: Browser, rare: list[Product], query: str, sort: str
) -> None:
    found, pages, path = list[int](), 0, f"/admin/products?{query}&sort={sort}"
    while path:
        html = (await admin.get(path.replace("&amp;", "&"))).text
        found += ids_in(html)
        pages += 1
        more = [each for each in links_of(html, r"/products\?") if each.partition("after=")[2]]
        assert bool(more) == ("looks further" in words_of(html))
        path = more[0] if more else ""
    assert found == sorted((each.id for each in rare), reverse=sort.startswith("-"))
    assert pages == (4 if sort.endswith("id") else 3), "of the ids, two for each side of the gap"


@pytest.mark.parametrize("query", FILTERS)
async def test_a_file_has_all_rows(admin: Browser, rare: list[Product], query: str) -> None:
    exported = await admin.get(f"/admin/products/export.csv?{query}")
    rows = csv.DictReader(io.StringIO(exported.text.removeprefix("\ufeff"), newline=""))
    assert [int(each["id"]) for each in rows] == [each.id for each in reversed(rare)]


@pytest.mark.parametrize(
    ("query", "is_bounded"),
    [
        ("", False),
        ("?search=radio&from=2020-01-01", False),
        ("?status=pending", False),
        ("?user_id={user}&from=2020-01-01", False),
        ("?from=2020-01-01", True),
        ("?status=pending&from=2020-01-01", True),
    ],
)
async def test_only_what_no_index_leads_to_is_looked_for_in_windows(
    admin: Browser, session: AsyncSession, database: Database, query: str, is_bounded: bool
) -> None:
    user = await a_user(session)
    orders = [await an_order(session, user, status=OrderStatus.PENDING) for _ in range(ROWS + 2)]
    if "search" in query:
        query = query.replace("radio", orders[0].order_number)

    with count_statements(database) as statements:
        html = await admin.open(f"/orders{query.format(user=user.id)}")

    assert ("looks further" in words_of(html)) == is_bounded
    nearest = [each for each in statements if "max(orders.id)" in each]
    assert len(nearest) == is_bounded
