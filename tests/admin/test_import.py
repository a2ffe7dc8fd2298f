"""Importing files in the admin: what the API's import does, as a page for people who edit spreadsheets."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.sent_forms import MAX_BESIDE_FILE
from api.import_export.imports import MAX_PROBLEMS, imports
from api.models.product import Product
from api.models.user import User
from tests.admin.support import Browser, fields_of, words_of
from tests.factories import a_category, a_product, a_user

HEADER = "sku,name,price,stock_quantity\n"
RADIO_AND_LAMP = f"{HEADER}R-1,Radio,6.50,9\nL-1,Lamp,5,3\n"


async def send(
    browser: Browser, content: str | bytes, name: str = "products.csv", entity: str = "products", **options: str
) -> httpx.Response:
    """Open the page of an import, choose a file and options, and send the form."""
    path = f"/{entity}/import"
    fields = fields_of(await browser.open(path))
    del fields["file"]
    return await post(
        browser, path, fields | {f"query.{each}": value for each, value in options.items()}, content, name
    )


async def post(
    browser: Browser, path: str, fields: dict[str, str], content: str | bytes, name: str = "products.csv"
) -> httpx.Response:
    file = content.encode() if isinstance(content, str) else content
    return await browser.post(f"/admin{path}", data=fields, files={"file": (name, file)})


async def prices(session: AsyncSession) -> dict[str, tuple[Decimal, int]]:
    """The price and the stock of each product, by its SKU."""
    statement = select(Product).execution_options(populate_existing=True)
    return {each.sku: (each.price, each.stock_quantity) for each in await session.exec(statement)}


class TestPage:
    @pytest.mark.parametrize("entity", imports())
    async def test_a_list_links_to_the_import_and_the_page_names_the_columns(self, admin: Browser, entity: str) -> None:
        assert f'href="/admin/{entity}/import"' in await admin.open(f"/{entity}")
        page = words_of(await admin.open(f"/{entity}/import"))
        for name in [*imports()[entity].keys, "created_at", "Only check", "Skip bad rows"]:
            assert name in page
        assert ("Take over the stock" in page) == (entity == "products")

    async def test_what_has_no_import_has_no_page(self, admin: Browser) -> None:
        assert "/import" not in await admin.open("/orders")
        for path in ("/orders/import", "/orders/all.csv", "/nothing/import"):
            await admin.open(path, 404)
        refused = await post(admin, "/orders/import", {}, RADIO_AND_LAMP)
        assert refused.status_code == 404


class TestImport:
    async def test_products_are_added_and_changed_and_the_report_is_shown(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        await a_product(session, "Radio", sku="R-1", price="5.00", stock_quantity=7)
        done = await send(admin, f"id,{HEADER}1,R-1,Radio,6.50,9\n,L-1,Lamp,5,3\n")
        assert done.status_code == 200, words_of(done.text)
        assert await prices(session) == {"R-1": (Decimal("6.50"), 7), "L-1": (Decimal(5), 3)}
        words = words_of(done.text)
        assert "The file was imported. Rows 2 Added 1 Changed 1 Unchanged 0" in words
        assert "Stock that differs, and was kept 1 Columns that do not count id" in words

    async def test_the_stock_is_taken_over_where_that_is_chosen(self, admin: Browser, session: AsyncSession) -> None:
        await a_product(session, "Radio", sku="R-1", price="5.00", stock_quantity=7)
        done = await send(admin, RADIO_AND_LAMP, stock="true")
        assert done.status_code == 200
        assert await prices(session) == {"R-1": (Decimal("6.50"), 9), "L-1": (Decimal(5), 3)}

    async def test_json_lines_are_imported(self, admin: Browser, session: AsyncSession) -> None:
        for name in ("products.JSONL", "products.ndjson"):
            done = await send(admin, '{"sku": "R-1", "name": "Radio", "price": "6.50"}\n', name)
            assert done.status_code == 200, words_of(done.text)
        assert "Nothing was imported, because nothing differs." in words_of(done.text)
        assert list(await prices(session)) == ["R-1"]

    async def test_a_form_that_is_sent_twice_is_imported_once(self, admin: Browser, session: AsyncSession) -> None:
        fields = fields_of(await admin.open("/products/import"))
        del fields["file"]
        first, second = [await post(admin, "/products/import", fields, RADIO_AND_LAMP) for _ in range(2)]
        assert first.status_code == second.status_code == 200
        assert "Added 2 Changed 0" in words_of(first.text)
        assert "Added 2 Changed 0" in words_of(second.text)  # the answer of the first one
        assert fields_of(first.text)["key"] != fields["key"]
        assert (await session.exec(select(func.count()).select_from(Product))).one() == 2

    async def test_a_check_writes_nothing(self, admin: Browser, session: AsyncSession) -> None:
        checked = await send(admin, RADIO_AND_LAMP, dry_run="true")
        assert checked.status_code == 200
        assert "The file was only checked, and nothing was written. Rows 2 To be added 2" in words_of(checked.text)
        assert fields_of(checked.text)["query.dry_run"] == "true"
        assert await prices(session) == {}

    async def test_a_large_file_is_imported(self, admin: Browser, session: AsyncSession) -> None:
        """Larger than any other body may be, and than what is kept in memory of a file."""
        text = "x" * 2_000
        rows = "".join(f"A-{number},Product {number},1,{text}\n" for number in range(600))
        done = await send(admin, f"sku,name,price,description\n{rows}")
        assert done.status_code == 200
        assert len(await prices(session)) == 600


class TestExportedFile:
    @pytest.mark.parametrize("entity", imports())
    async def test_a_file_that_was_downloaded_is_imported_again_unchanged(
        self, admin: Browser, session: AsyncSession, entity: str
    ) -> None:
        audio = await a_category(session, "Audio")
        await a_category(session, "Ümlaut, =1", parent_id=audio.id)
        await a_product(session, "Radio", sku="R-1", category=audio, description="Two\nlines", attributes={"a": [1]})
        await a_user(session, "anna")

        file = await admin.get(f"/admin/{entity}/all.csv")

        assert file.headers["content-type"] == "text/csv; charset=utf-8"
        assert f'filename="{entity}-' in file.headers["content-disposition"]
        assert file.headers["content-security-policy"].startswith("default-src 'none'")
        done = await send(admin, file.content, f"{entity}.csv", entity)
        assert done.status_code == 200, words_of(done.text)
        assert "Nothing was imported, because nothing differs." in words_of(done.text)

    async def test_a_file_is_downloaded_edited_and_imported(self, admin: Browser, session: AsyncSession) -> None:
        await a_product(session, "Radio", sku="R-1", price="5.00")
        file = (await admin.get("/admin/products/all.csv")).text
        done = await send(admin, file.replace("5.00", "6.50"))
        assert "Added 0 Changed 1 Unchanged 0" in words_of(done.text)
        assert [price for price, _ in (await prices(session)).values()] == [Decimal("6.50")]


class TestRefusal:
    async def test_bad_rows_are_named_and_nothing_is_imported(self, admin: Browser, session: AsyncSession) -> None:
        refused = await send(admin, f"{HEADER}R-1,Radio,6.50,9\nL-1,Lamp,free,3\nL-2,,-1,3\n")
        assert refused.status_code == 422
        words = words_of(refused.text)
        start = "Nothing was imported 2 of 3 rows are wrong, and nothing was imported. Mistakes Line Field Reason"
        assert f"{start} 3 price must be a number" in words
        assert "4 name" in words
        assert "4 price" in words
        assert await prices(session) == {}

    async def test_the_first_hundred_of_many_mistakes_are_shown(self, admin: Browser) -> None:
        refused = await send(admin, HEADER + "".join(f"A-{number},Lamp,free,1\n" for number in range(150)))
        assert "150 of 150 rows are wrong" in words_of(refused.text)
        assert refused.text.count("<tr>") == MAX_PROBLEMS + 1
        assert "These are the first 100 mistakes." in words_of(refused.text)

    async def test_bad_rows_are_skipped_where_that_is_chosen(self, admin: Browser, session: AsyncSession) -> None:
        done = await send(admin, f"{HEADER}R-1,Radio,6.50,9\nL-1,<b>Lamp</b>,free,3\n", skip_bad_rows="true")
        assert done.status_code == 200
        assert list(await prices(session)) == ["R-1"]
        assert "Wrong, and left out 1 Mistakes Line Field Reason 3 price" in words_of(done.text)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("sku,name,prize\nR-1,Radio,1\n", "1 – `prize` is not a column"),
            ("name,price\nRadio,1\n", "the column `sku` is missing"),
            ("", "1 –"),
            (b"\xff\xfes\0k\0u\0", "CSV UTF-8"),
        ],
        ids=["unknown column", "no key", "empty", "encoding"],
    )
    async def test_a_file_that_cannot_be_read_says_why(
        self, admin: Browser, content: str | bytes, message: str
    ) -> None:
        refused = await send(admin, content)
        assert refused.status_code == 422
        assert message in words_of(refused.text)

    @pytest.mark.parametrize("name", ["products.xlsx", "products", "csv", "a.csv.exe"])
    async def test_a_file_of_another_type_is_refused(self, admin: Browser, session: AsyncSession, name: str) -> None:
        refused = await send(admin, RADIO_AND_LAMP, name)
        assert refused.status_code == 422
        assert "neither CSV nor JSON Lines" in words_of(refused.text)
        assert await prices(session) == {}

    async def test_a_form_without_a_file_is_refused(self, admin: Browser) -> None:
        refused = await send(admin, b"", name="")  # as browsers send it
        assert refused.status_code == 422
        assert "Choose a file." in words_of(refused.text)

    async def test_a_refused_form_can_be_sent_again(self, admin: Browser, session: AsyncSession) -> None:
        refused = await send(admin, f"{HEADER}L-1,Lamp,free,3\n")
        fields = fields_of(refused.text)
        del fields["file"]
        assert (await post(admin, "/products/import", fields, RADIO_AND_LAMP)).status_code == 200
        assert len(await prices(session)) == 2

    @pytest.mark.parametrize("beside", [0, MAX_BESIDE_FILE], ids=["the API", "the page"])
    async def test_a_file_that_is_too_large_is_refused(
        self, app: FastAPI, admin: Browser, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, beside: int
    ) -> None:
        monkeypatch.setitem(app.state.settings.__dict__, "max_import_size", 100_000)
        at_most = RADIO_AND_LAMP + "\n" * (100_000 - len(RADIO_AND_LAMP))
        refused = await send(admin, at_most + "\n" * (beside + 1))
        assert refused.status_code == 413
        assert "<h1>Content Too Large</h1>" in refused.text
        assert "larger than 100,000 bytes" in words_of(refused.text)
        assert await prices(session) == {}
        assert (await send(admin, at_most)).status_code == 200

    async def test_no_other_form_may_be_as_large(self, admin: Browser) -> None:
        refused = await admin.post("/admin/products/new", data={"body.name": "x" * 1_100_000})
        assert refused.status_code == 413
        assert (await post(admin, "/products/new", {}, "x" * 1_100_000)).status_code == 413

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
            ({"Content-Type": "text/csv"}, 415),
            ({"Content-Type": "multipart/form-data"}, 400),
            ({"Content-Type": "multipart/form-data; boundary=x"}, 400),
            ({"Content-Type": "multipart/form-data; boundary=x", "Content-Encoding": "gzip"}, 415),
        ],
        ids=str,
    )
    async def test_what_is_no_form_with_a_file_is_refused(
        self, admin: Browser, headers: dict[str, str], status: int
    ) -> None:
        refused = await admin.post("/admin/products/import", content=b"key=1", headers=headers)
        assert refused.status_code == status
        assert "<h1>" in refused.text

    async def test_a_form_with_too_much_in_it_is_refused(self, admin: Browser) -> None:
        many: dict[str, Any] = {f"a{number}": "1" for number in range(30)}
        assert (await post(admin, "/products/import", many, RADIO_AND_LAMP)).status_code == 400
        assert (await post(admin, "/products/import", {"key": "x" * 2_000}, RADIO_AND_LAMP)).status_code == 400
        two = [("file", ("a.csv", b"a")), ("file", ("b.csv", b"b"))]
        assert (await admin.post("/admin/products/import", files=two)).status_code == 400


class TestAccess:
    async def test_customers_are_refused(self, customers_browser: Browser, session: AsyncSession) -> None:
        for path in ("/products/import", "/products/all.csv"):
            await customers_browser.open(path, 403)
        refused = await post(customers_browser, "/products/import", {}, RADIO_AND_LAMP)
        assert refused.status_code == 403
        assert await prices(session) == {}

    async def test_whoever_is_not_signed_in_is_asked_to_and_told_to_choose_the_file_again(
        self, nobody: Browser, staff: User, session: AsyncSession
    ) -> None:
        await nobody.open("/products/all.csv", 401)
        asked = await post(nobody, "/products/import", {"key": "1"}, RADIO_AND_LAMP)
        assert asked.status_code == 401
        assert "choose the file again" in words_of(asked.text)
        signed_in = await nobody.sign_in("staff", **{"next": fields_of(asked.text)["next"], "kept": ""})
        assert signed_in.headers["location"] == "/admin/products/import"
        assert await prices(session) == {}

    async def test_another_website_imports_nothing(self, admin: Browser, session: AsyncSession) -> None:
        admin.headers["Sec-Fetch-Site"] = "cross-site"
        assert (await post(admin, "/products/import", {}, RADIO_AND_LAMP)).status_code == 403
        assert await prices(session) == {}
