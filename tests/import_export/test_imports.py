"""Imports as commands and pages run them: at once with others, interrupted, and within memory that does not grow."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryFile

import psutil
import pytest
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.errors import BadRows, Conflict
from api.import_export import running
from api.import_export.exports import write_export
from api.import_export.families import exports
from api.import_export.imports import ImportReport, Options, RowProblem
from api.import_export.running import import_file
from api.models.category import Category
from api.models.product import Product
from api.models.stock_movement import StockMovement
from api.rules import category_tree
from api.web.file_formats import FileFormat
from tests.books import rows_of
from tests.factories import a_product, a_user
from tests.routes.products.support import stored_skus


def products(count: int, start: int = 0, price: str = "1.00") -> bytes:
    rows = (f"A-{number},Product {number},{price},2\n" for number in range(start, start + count))
    return ("sku,name,price,stock_quantity\n" + "".join(rows)).encode()


async def run(database: Database, content: bytes, **options: bool) -> ImportReport:
    return await import_file(database, "products", io.BytesIO(content), FileFormat.CSV, Options(**options))


class TestSimultaneous:
    async def test_two_imports_of_the_same_new_products_add_each_once(
        self, database: Database, session: AsyncSession
    ) -> None:
        reports = await asyncio.gather(*(run(database, products(450)) for _ in range(2)))

        assert sorted(report.created for report in reports) in ([0, 450], [450, 450])
        assert sum(report.rows for report in reports) == 900
        skus = await stored_skus(session)
        assert len(skus) == len(set(skus)) == 450
        movements = (await session.exec(select(func.count()).select_from(StockMovement))).one()
        assert movements == 450

    async def test_a_shop_that_changes_between_the_check_and_the_writing_is_checked_again(
        self, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other request takes the SKU once the file was checked, as it does in a race."""
        taken: list[Product] = []
        transaction = database.transaction

        @asynccontextmanager
        async def later() -> AsyncIterator[AsyncSession]:
            if not taken:
                taken.append(await a_product(session, "Taken", sku="A-0", slug="taken", price="9.00"))
            async with transaction() as own:
                yield own

        monkeypatch.setattr(database, "transaction", later)
        report = await run(database, products(3))

        assert (report.created, report.updated) == (2, 1)
        assert sorted(await stored_skus(session)) == ["A-0", "A-1", "A-2"]


class TestWhole:
    async def test_a_failure_in_the_middle_leaves_nothing(self, database: Database, session: AsyncSession) -> None:
        def stop(what: str, done: int, total: int) -> None:
            if what == "writing" and done > 200:
                raise KeyError("stopped in the middle")

        with pytest.raises(KeyError):
            await import_file(
                database, "products", io.BytesIO(products(600)), FileFormat.CSV, Options(), on_progress=stop
            )

        assert await stored_skus(session) == []
        assert await rows_of(session, StockMovement) == []

    async def test_in_parts_what_was_written_stays_and_the_file_may_be_imported_again(
        self, database: Database, session: AsyncSession
    ) -> None:
        def stop(what: str, done: int, total: int) -> None:
            if what == "writing" and done > 200:
                raise KeyError("stopped in the middle")

        content, options = products(600), Options(skip_bad_rows=True)
        with pytest.raises(KeyError):
            await import_file(database, "products", io.BytesIO(content), FileFormat.CSV, options, on_progress=stop)
        assert len(await stored_skus(session)) == 400

        report = await run(database, content, skip_bad_rows=True)

        assert (report.created, report.unchanged) == (200, 400)

    async def test_rows_that_an_earlier_attempt_has_written_count_as_written_once(
        self, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second part is refused once, as by a deadlock; the first one is committed by then, and found again."""
        await a_user(session, "user0", email="user0@example.com", full_name="Old name")
        transaction, begun = database.transaction, 0

        @asynccontextmanager
        async def broken_once() -> AsyncIterator[AsyncSession]:
            nonlocal begun
            begun += 1
            async with transaction() as own:
                yield own
                if begun == 2:
                    raise StaleDataError("another one was faster")

        monkeypatch.setattr(database, "transaction", broken_once)
        monkeypatch.setattr(running, "FIRST_BACKOFF", 0.01)
        rows = (f"user{number},user{number}@example.com,Name {number},Secret123\n" for number in range(450))
        content = ("username,email,full_name,password\n" + "".join(rows) + "bad,nowhere,,\n").encode()

        report = await import_file(database, "users", io.BytesIO(content), FileFormat.CSV, Options(skip_bad_rows=True))

        assert begun > 3
        counted = (report.rows, report.created, report.updated, report.unchanged, report.bad)
        assert counted == (451, 449, 1, 0, 1)
        assert report.not_imported == ["password"]

    @pytest.mark.parametrize("file", [b"name,parent\nA,B\nB,A\nC,\n", b"name,parent\nC,\nA,C\nB,A\n"])
    async def test_rows_that_refer_to_each_other_are_written_together_or_not_at_all(
        self, database: Database, session: AsyncSession, file: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where bad rows are skipped: a circle, and an end before the parents are set, leave nothing."""

        async def stop(*_: object) -> None:
            raise KeyError("stopped before the parents were set")

        if b"A,B" not in file:
            monkeypatch.setattr(category_tree, "move", stop)
        before = (await session.exec(select(func.count()).select_from(Category))).one()

        with pytest.raises((Conflict, KeyError)):
            await import_file(database, "categories", io.BytesIO(file), FileFormat.CSV, Options(skip_bad_rows=True))

        assert (await session.exec(select(func.count()).select_from(Category))).one() == before

    async def test_every_mistake_is_told_and_the_report_names_the_first_hundred(self, database: Database) -> None:
        told: list[RowProblem] = []
        content = products(500, price="0")

        with pytest.raises(BadRows) as refused:
            await import_file(
                database, "products", io.BytesIO(content), FileFormat.CSV, Options(), on_problem=told.append
            )

        assert [problem.line for problem in told] == list(range(2, 502))
        assert len(refused.value.problems) == 100
        assert refused.value.summary == "500 of 500 rows are wrong, and nothing was imported."

    async def test_a_changed_product_is_found_again_by_a_search(
        self, database: Database, session: AsyncSession
    ) -> None:
        await a_product(session, "Old name", sku="A-0")

        await run(database, b"sku,name\nA-0,Gramophone\n")

        assert (await session.exec(select(Product.sku).where(Product.matches("gramo")))).all() == ["A-0"]


class TestMemory:
    async def test_memory_does_not_grow_with_the_file(self, database: Database, session: AsyncSession) -> None:
        """Checking and exporting 20 times the rows takes no more memory; 38,000 rows would be 40 MB."""
        process, peaks, megabyte = psutil.Process(), [], 1_048_576
        export = exports()["products"]
        await run(database, products(2_000))
        for count in (2_000, 40_000):
            content = products(count)
            before, highest = process.memory_info().rss, 0

            def look(what: str, done: int, total: int) -> None:
                nonlocal highest
                highest = max(highest, process.memory_info().rss)

            file = io.BytesIO(content)
            await import_file(database, "products", file, FileFormat.CSV, Options(dry_run=True), on_progress=look)
            async for _ in write_export(database, export, FileFormat.CSV):
                look("", 0, 0)
            peaks.append(highest - before)
        assert peaks[1] < peaks[0] + 16 * megabyte, [peak // megabyte for peak in peaks]

    async def test_memory_does_not_grow_with_the_rows(self, database: Database) -> None:
        """Fifty rows of a megabyte are a quarter of what is checked together where rows are short."""
        process, peaks, megabyte = psutil.Process(), [], 1_048_576
        row = b'{"sku": "A-1", "name": "One", "price": 1, "description": "' + b"x" * (megabyte - 200) + b'"}\n'
        for count in (2, 2, 50):
            before, highest = process.memory_info().rss, 0

            def look(what: str, done: int, total: int) -> None:
                nonlocal highest
                highest = max(highest, process.memory_info().rss)

            options, file = Options(dry_run=True, skip_bad_rows=True), TemporaryFile()  # noqa: SIM115
            file.write(row * count)
            report = await import_file(database, "products", file, FileFormat.JSONL, options, on_progress=look)
            file.close()
            assert report.bad == count
            peaks.append(highest - before)
        assert peaks[2] < peaks[1] + 16 * megabyte, [peak // megabyte for peak in peaks]
