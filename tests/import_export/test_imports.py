"""Imports as commands and pages run them: at once with others, interrupted, and within memory that does not grow."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.errors import BadRows
from api.import_export.exports import write_export
from api.import_export.families import exports
from api.import_export.imports import ImportReport, Options, RowProblem
from api.import_export.running import import_file
from api.models.product import Product
from api.models.stock_movement import StockMovement
from api.web.file_formats import FileFormat
from tests.books import rows_of
from tests.factories import a_product
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
        process, peaks = psutil.Process(), []
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
        megabyte = 1_048_576
        assert peaks[1] < peaks[0] + 16 * megabyte, [peak // megabyte for peak in peaks]
