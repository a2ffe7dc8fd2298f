"""Lists of the admin: every entity's, searched, filtered, sorted, in parts, and as CSV."""

import csv
import io
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from sqlalchemy import CTE
from sqlalchemy.sql.visitors import iterate
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin import csv_export, row_pages
from api.admin.entities import Entities
from api.admin.rows import fetch
from api.database.sessions import Database
from api.models.order import OrderStatus
from api.models.post import PostStatus
from api.models.user import User
from tests.admin.support import Browser, links_of, words_of
from tests.factories import (
    a_category,
    a_notification,
    a_payment,
    a_post,
    a_product,
    a_tag,
    a_token,
    a_user,
    an_account,
    an_order,
)
from tests.house.hostile_values import URL_CHOICES, URL_NUMBERS, URL_TEXTS, hostile_cursors
from tests.support import count_statements

PARAMETERS = {
    "search": URL_TEXTS,
    "sort": URL_CHOICES,
    "after": [*URL_TEXTS, *hostile_cursors()],
    "status": URL_CHOICES,
    "user_id": URL_NUMBERS,
    "from": [*URL_CHOICES, "0001-01-01", "9999-12-31", "2026-02-30", "10000-01-01"],
    "to": [*URL_NUMBERS, "9999-12-31", "2026-05-12T00:00"],
    "done": URL_TEXTS,
    "nothing": ["1"],
}


async def found(admin: Browser, path: str) -> list[str]:
    """The rows of a list, by where they lead."""
    name = path.partition("?")[0]
    return [each for each in links_of(await admin.open(path), f"{name}/") if each.rpartition("/")[2].isdigit()]


class TestEveryList:
    async def test_every_entity_has_a_list_whose_statements_are_as_many_for_many_rows(
        self, app: FastAPI, admin: Browser, session: AsyncSession, database: Database
    ) -> None:
        await admin.open("")  # which notes that the token was used
        few = await self._statements(app, admin, database)
        for _ in range(4):
            product = await a_product(session, category=await a_category(session))
            await a_payment(session, await an_order(session, None, (product, 1)))
            await an_account(session, balance="1.00")
            await a_post(session, tags=[await a_tag(session)])
        assert await self._statements(app, admin, database) == few

    async def _statements(self, app: FastAPI, admin: Browser, database: Database) -> dict[str, int]:
        found = {}
        for name in Entities(app):
            with count_statements(database) as statements:
                await admin.open(f"/{name}")
            found[name] = len(statements)
        return found

    async def test_a_list_shows_labels_badges_and_links(self, admin: Browser, session: AsyncSession) -> None:
        user = await a_user(session, "anna")
        order = await an_order(session, user, total="80.00", status=OrderStatus.SHIPPED)

        html = await admin.open("/orders")

        assert f'<a href="/admin/users/{user.id}">anna</a>' in html
        assert order.order_number in html
        assert '<span class="badge going">shipped</span>' in html
        assert "80.00" in html

    async def test_an_empty_list_says_so(self, admin: Browser) -> None:
        assert "There is nothing here yet." in words_of(await admin.open("/posts"))
        assert "Nothing here fits this search." in words_of(await admin.open("/posts?search=x"))

    async def test_tokens_and_notifications_of_others_are_shown_to_nobody(
        self, admin: Browser, session: AsyncSession, staff: User
    ) -> None:
        await a_token(session)
        theirs, own = await a_notification(session), await a_notification(session, staff)
        assert await found(admin, "/tokens") == []
        assert await found(admin, "/notifications") == [f"/admin/notifications/{own.id}"]
        await admin.open(f"/notifications/{theirs.id}", 404)

    async def test_texts_are_escaped(self, admin: Browser, session: AsyncSession) -> None:
        product = await a_product(session, '<script>alert("1")</script>')
        for path in (
            "/products",
            f"/products/{product.id}",
            f"/products/{product.id}/edit",
            "",
            "/products?search=<b>'\"",
        ):
            html = await admin.open(path)
            assert "<script>alert" not in html
            assert "<b>" not in html


class TestParts:
    @pytest.mark.parametrize("query", ["", "sort=price&", "sort=-name&", "search=radio&", "search=radio&sort=-price&"])
    async def test_the_parts_of_a_list_have_every_row_once(
        self, admin: Browser, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, query: str
    ) -> None:
        monkeypatch.setattr(row_pages, "PART", 5)
        rows = [await a_product(session, f"Radio {number % 7}", price=f"{number % 5 + 1}.00") for number in range(8)]
        first = await admin.open(f"/products?{query}")
        (more,) = [each for each in links_of(first, "/products?") if "after=" in each and each.partition("after=")[2]]
        second = await admin.get(more.replace("&amp;", "&"))

        ids = [
            each.rpartition("/")[2]
            for html in (first, second.text)
            for each in links_of(html, "/products/")
            if each.rpartition("/")[2].isdigit()
        ]
        assert sorted(map(int, ids)) == [each.id for each in rows]
        assert "End of the list" in second.text

    async def test_rows_stand_in_the_order_that_is_asked_for(self, admin: Browser, session: AsyncSession) -> None:
        dear, cheap = await a_product(session, "A", price="9.00"), await a_product(session, "B", price="1.00")
        orders = {
            "": [cheap, dear],
            "id": [dear, cheap],
            "price": [cheap, dear],
            "-price": [dear, cheap],
            "name": [dear, cheap],
        }
        for sort, rows in orders.items():
            assert await found(admin, f"/products?sort={sort}") == [f"/admin/products/{each.id}" for each in rows]

    async def test_an_order_that_no_index_has_is_refused(self, admin: Browser) -> None:
        html = await admin.open("/products?sort=stock_quantity", 422)
        assert "Sort: is no order of this list" in words_of(html)


class TestSearch:
    async def test_an_order_is_found_by_its_number_and_by_its_customer(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        anna = await a_user(session, "anna", email="an@example.com", full_name="Anna Müller")
        order, other = await an_order(session, anna), await an_order(session)
        number = order.order_number
        for text in (number, number.lower().replace("-", ""), "anna", "MÜLLER", "an@exam", f"#{order.id}"):
            assert await found(admin, f"/orders?search={quote(text)}") == [f"/admin/orders/{order.id}"], text
        assert await found(admin, f"/orders?search={other.order_number}") == [f"/admin/orders/{other.id}"]

    async def test_payments_are_found_by_their_order_and_lines_by_their_product(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Turntable", sku="TT-1", price="5.00")
        order = await an_order(session, None, (product, 1))
        payment = await a_payment(session, order)
        await a_payment(session)
        assert await found(admin, f"/payments?search={order.order_number}") == [f"/admin/payments/{payment.id}"]
        assert len(await found(admin, "/order-items?search=turntable")) == 1
        assert await found(admin, "/products?search=tt-1") == [f"/admin/products/{product.id}"]
        assert await found(admin, f"/products?search=%23{product.id}") == [f"/admin/products/{product.id}"]

    async def test_filters_narrow_a_list(self, admin: Browser, session: AsyncSession) -> None:
        audio = await a_category(session, "Audio")
        product, hidden = await a_product(session, category=audio), await a_product(session, is_active=False)
        order = await an_order(session, status=OrderStatus.SHIPPED)
        await an_order(session)
        post = await a_post(session, status=PostStatus.DRAFT)
        day = f"{order.created_at:%Y-%m-%d}"
        for path, row_id in {
            f"/products?category_id={audio.id}": product.id,
            "/products?is_active=false": hidden.id,
            f"/orders?status=shipped&from={day}&to={day}": order.id,
            f"/orders?user_id={order.user_id}": order.id,
            "/posts?status=draft&search=headphones": post.id,
        }.items():
            assert [each.rpartition("/")[2] for each in await found(admin, path)] == [str(row_id)], path
        assert await found(admin, "/orders?from=2100-01-01") == []
        assert await found(admin, "/orders?to=2000-01-01") == []

    async def test_a_filter_without_a_control_is_shown(self, admin: Browser, session: AsyncSession) -> None:
        order = await an_order(session, await a_user(session, "anna"))
        assert "User: anna" in words_of(await admin.open(f"/orders?user_id={order.user_id}"))


class TestExport:
    async def test_a_list_is_exported_with_its_filters_and_all_of_its_rows(
        self, admin: Browser, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(csv_export, "ROWS_AT_A_TIME", 3)
        rows = [
            await a_product(session, "=1+1" if number == 0 else f"Radio {number}", price="5.00") for number in range(8)
        ]
        await a_product(session, "Dear", is_active=False)

        exported = await admin.get("/admin/products/export.csv?is_active=true&sort=id")

        assert exported.headers["content-type"].startswith("text/csv")
        assert exported.headers["content-disposition"] == 'attachment; filename="products.csv"'
        table = list(csv.DictReader(io.StringIO(exported.text.removeprefix("\ufeff"), newline="")))
        assert [int(each["id"]) for each in table] == [each.id for each in rows]
        assert table[0]["name"] == "'=1+1"  # no formula to a spreadsheet
        assert (table[1]["price"], table[1]["is_active"], table[1]["attributes"]) == ("5.00", "true", "{}")
        assert "search_text" not in table[0]

    async def test_a_head_of_an_export_reads_its_first_part_alone(
        self, admin: Browser, session: AsyncSession, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(csv_export, "ROWS_AT_A_TIME", 3)
        for _ in range(8):
            await a_product(session)

        with count_statements(database) as statements:
            head = await admin.head("/admin/products/export.csv")

        assert (head.status_code, head.content) == (200, b"")
        assert len([each for each in statements if "FROM products" in each]) == 1

    @pytest.mark.parametrize("sort", ["id", "-price"])
    @pytest.mark.parametrize("search", ["radio", "7"])
    async def test_a_part_of_a_search_finds_no_more_than_it_needs(
        self, admin: Browser, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, sort: str, search: str
    ) -> None:
        """Else each part of a long file would search all rows again."""
        monkeypatch.setattr(csv_export, "ROWS_AT_A_TIME", 5)
        rows = [await a_product(session, f"Radio 7{number}", price=f"{number % 4 + 1}.00") for number in range(23)]
        among: list[int] = []

        async def count_among(session: AsyncSession, entities: Any, entity: Any, columns: Any, *sent: Any) -> Any:
            (cte,) = {each for each in iterate(sent[0]) if isinstance(each, CTE)}
            counting = select(func.count()).select_from(cte)
            among.append((await session.exec(counting, params=sent[1])).one())
            return await fetch(session, entities, entity, columns, *sent)

        monkeypatch.setattr("api.admin.lists.fetch", count_among)
        exported = await admin.get(f"/admin/products/export.csv?search={search}&sort={sort}")

        ids = [int(each["id"]) for each in csv.DictReader(io.StringIO(exported.text.removeprefix("\ufeff")))]
        assert sorted(ids) == [each.id for each in rows]
        ways = 2 if search.isdigit() else 1  # by its number too
        assert len(among) == 5
        assert max(among[1:]) <= 6 * ways, among

    async def test_every_list_can_be_exported(self, app: FastAPI, admin: Browser, session: AsyncSession) -> None:
        await a_payment(session)
        for name in Entities(app):
            exported = await admin.get(f"/admin/{name}/export.csv")
            assert exported.status_code == 200
            assert exported.text.startswith("\ufeffid,"), name

    async def test_a_mistake_in_the_query_is_named(self, admin: Browser) -> None:
        assert "status: must be pending" in words_of(await admin.open("/orders/export.csv?status=x", 422))


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["orders", "products"])
async def test_hostile_queries_are_refused_or_find_nothing(admin: Browser, session: AsyncSession, name: str) -> None:
    await an_order(session)
    for parameter, values in PARAMETERS.items():
        for value in values:
            encoded = quote(value.encode("utf-8", "surrogatepass"))
            for path in (f"/{name}?{parameter}={encoded}", f"/{name}/export.csv?{parameter}={encoded}"):
                response = await admin.get(f"/admin{path}")
                assert response.status_code in (200, 422), (path[:200], words_of(response.text)[:300])
            suggested = await admin.get(f"/admin/{name}/suggest?search={encoded}")
            assert suggested.status_code == 200
    for query in ("%", "%zz=%zz", "search=%FF", "search=%ED%A0%80", "search=a&search=b", "&&&", "a[]=1", "=", "search"):
        assert (await admin.get(f"/admin/{name}?{query}")).status_code in (200, 422)
