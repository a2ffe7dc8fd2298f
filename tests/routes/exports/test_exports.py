"""/exports: staff get all rows of an entity as CSV or JSON Lines."""

import csv
import io
import json
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.import_export import exports
from api.import_export.families import exports as all_exports
from api.models.user import User
from api.web.file_formats import FileFormat
from tests.factories import a_category, a_product, a_user, an_order
from tests.routes.imports.support import counts
from tests.support import assert_refused, count_statements

ACCESS = """
                              nobody  owner  other  staff
GET    /exports/products         401    403    403    200
GET    /exports/{entity}         401    403    403    200
"""

REQUESTS: dict[str, dict[str, Any]] = {"GET /exports/{entity}": {"entity": "orders"}}


def table(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def objects(content: bytes) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in content.decode().splitlines()]


class TestFiles:
    async def test_products_have_the_columns_of_their_family_and_the_slug_of_their_category(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")
        product = await a_product(session, "Kopfhörer", category, price="5.00", stock_quantity=2)

        answer = await as_staff.get("/exports/products")

        assert answer.headers["Content-Type"].startswith("text/csv")
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="products-')
        (row,) = table(answer.content)
        read = (await as_staff.get(f"/products/{product.id}")).json()
        del read["category"], read["category_id"]
        assert (row.pop("category"), row.pop("attributes"), row.pop("is_active")) == (category.slug, "{}", "true")
        assert row == {name: "" if read[name] is None else str(read[name]) for name in row}

    async def test_each_line_of_an_order_is_a_row_of_csv_and_an_object_of_json(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        order = await an_order(session, None, (await a_product(session), 2), (await a_product(session), 1))

        rows = table((await as_staff.get("/exports/orders")).content)
        (one,) = objects((await as_staff.get("/exports/orders", params={"format": "jsonl"})).content)

        assert [(row["id"], row["items.quantity"]) for row in rows] == [(str(order.id), "2"), (str(order.id), "1")]
        assert one == (await as_staff.get(f"/orders/{order.id}")).json()

    async def test_customers_are_the_users_who_are_no_staff(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        answer = await as_staff.get("/exports/customers")

        assert [row["username"] for row in table(answer.content)] == [customer.username]
        assert "password" not in answer.text

    async def test_the_filters_of_the_list_choose_the_products(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "Cheap", price="1.00", sku="CHEAP")
        await a_product(session, "Dear", price="9.00", sku="DEAR")

        for query, skus in (({"min_price": 5}, ["DEAR"]), ({"search": "chea"}, ["CHEAP"]), ({}, ["CHEAP", "DEAR"])):
            answer = await as_staff.get("/exports/products", params=query)
            assert [row["sku"] for row in table(answer.content)] == skus

    async def test_a_name_that_is_no_export_is_refused_with_the_nearest(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.get("/exports/order"), 422, "did you mean `orders`?")

    async def test_a_text_that_a_spreadsheet_would_run_is_escaped(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "=1+1", sku="A-1", description="@SUM(A1)")

        (row,) = table((await as_staff.get("/exports/products")).content)

        assert (row["name"], row["description"]) == ("'=1+1", "'@SUM(A1)")

    @pytest.mark.parametrize("rows", [0, 1, 3, 7])
    async def test_long_files_are_read_in_parts_and_no_row_is_left_out(
        self,
        as_staff: AsyncClient,
        session: AsyncSession,
        database: Database,
        monkeypatch: pytest.MonkeyPatch,
        rows: int,
    ) -> None:
        monkeypatch.setattr(exports, "ROWS_AT_A_TIME", 3)
        skus = [(await a_product(session, sku=f"A-{number}")).sku for number in range(rows)]

        with count_statements(database) as statements:
            answer = await as_staff.get("/exports/products")

        assert [row["sku"] for row in table(answer.content)] == skus
        assert len([each for each in statements if "products" in each]) == rows // 3 + 1

        with count_statements(database) as statements:
            head = await as_staff.head("/exports/products")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Disposition"] == answer.headers["Content-Disposition"]
        assert len([each for each in statements if "products" in each]) == 1, "a HEAD read the whole file"

    async def test_long_rows_are_made_a_few_in_one_step(
        self, session: AsyncSession, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An order of a hundred lines is a hundred rows of CSV, in whose time no other request is answered."""
        for number in range(8):
            await a_product(session, sku=f"A-{number}", description="x" * 5_000)
        export = all_exports()["products"]
        whole = [part async for part in exports.write_export(database, export, FileFormat.CSV)]

        monkeypatch.setattr(exports, "TEXT_AT_A_TIME", 10_000)
        parts = [part async for part in exports.write_export(database, export, FileFormat.CSV)]

        assert b"".join(parts) == b"".join(whole)
        assert max(map(len, parts)) < 12_000


class TestEveryEntity:
    @pytest.mark.parametrize("name", sorted(all_exports()))
    async def test_every_family_with_a_read_class_is_exported_in_both_formats(
        self, as_staff: AsyncClient, session: AsyncSession, name: str
    ) -> None:
        csv_file = await as_staff.get(f"/exports/{name}")
        lines = await as_staff.get(f"/exports/{name}", params={"format": "jsonl"})

        assert csv_file.status_code == lines.status_code == 200
        assert len({row["id"] for row in table(csv_file.content)}) == len(objects(lines.content))


FORMULAS = ["x;=1", "x;'=1", ";'=1", "'x;@y", "x;''-y", "x;-5"]
ODD_TEXTS = [*FORMULAS, "=1+1", "'=1", "''", "'", "+49", "-5", "@x", "a,b", 'a"b', "a;b", "'x'", "  "]
LONG_TEXTS = [*ODD_TEXTS, "two\nlines", "\n=1", "tab\there", "a\r\nb", "x\t=1", "x\n'=1", "x\r\n@y"]


class TestRoundTrip:
    @pytest.mark.parametrize("file_format", ["csv", "jsonl"])
    async def test_what_was_exported_changes_nothing_when_it_is_imported(
        self, as_staff: AsyncClient, session: AsyncSession, file_format: str
    ) -> None:
        shelf = await a_category(session, "Shelf")
        await a_category(session, "Below", shelf)
        for number, text in enumerate(LONG_TEXTS):
            name = {"name": f"{ODD_TEXTS[number % len(ODD_TEXTS)].strip()} {number}"}
            odd = {"text": text, text: "name", "number": 1.5, "list": [None, True, "é"]}
            body = {"sku": f"A-{number}", "price": "1.00", "description": text, "attributes": odd, "stock_quantity": 1}
            added = await as_staff.post("/products", json=body | name | {"category_id": shelf.id})
            assert added.status_code == 201, added.text
        await a_product(session, is_active=False, description="")
        await a_user(session, "somebody", full_name="=cmd", bio="'")

        for entity in ("products", "categories", "users"):
            query = {"format": file_format}
            first = (await as_staff.get(f"/exports/{entity}", params=query)).content
            media_type = {"csv": "text/csv", "jsonl": "application/jsonl"}[file_format]
            done = await as_staff.post(f"/imports/{entity}", content=first, headers={"Content-Type": media_type})
            assert done.status_code == 200, done.text
            assert counts(done)[:2] == (0, 0), done.text
            assert (await as_staff.get(f"/exports/{entity}", params=query)).content == first
