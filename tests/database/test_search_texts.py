"""Search texts: filled in at the start where an older release wrote a row, and never over what a newer one wrote."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.inspection import inspect
from api.database.search_texts import LATELY, SearchTexts, prepare_search
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.product import Product
from api.settings import Settings
from tests.factories import a_product, a_user
from tests.lists import names

OF_PRODUCTS = SearchTexts("products", Product.searched)


async def write_as_before(session: AsyncSession, product: Product, **changes: object) -> None:
    """As a release does that knows nothing of search texts."""
    await session.exec(update(Product).where(col(Product.id) == product.id).values(**changes))


async def batch(session: AsyncSession, *arguments: Any) -> Sequence[Any]:
    rows: Sequence[Any] = (await (await session.connection()).execute(OF_PRODUCTS.batch(*arguments))).all()
    return rows


class TestPrepareSearch:
    async def test_what_an_older_release_wrote_is_found_after_the_start(
        self, client: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        added, renamed = await a_product(session, "Added"), await a_product(session, "Old name")
        await write_as_before(session, added, search_text=None, updated_at=utcnow() - 2 * LATELY)
        await write_as_before(session, renamed, name="Renamed")
        user = await a_user(session, "johndoe")
        assert user.search_text is not None

        await prepare_search(database)

        for name in ("added", "renamed"):
            assert len(names((await client.get("/products", params={"search": name})).json())) == 1

    async def test_many_rows_are_filled_in_by_batches(self, session: AsyncSession, database: Database) -> None:
        products = [await a_product(session, "Same") for _ in range(3)]
        await session.exec(update(Product).values(search_text=None))
        assert len(await batch(session, products[0].id)) == 2

        await asyncio.gather(*(prepare_search(database) for _ in range(4)))

        assert (await session.exec(select(Product.id).where(col(Product.search_text).is_(None)))).all() == []

    async def test_what_a_newer_release_writes_meanwhile_stays(self, session: AsyncSession) -> None:
        product = await a_product(session, "Old name")
        await write_as_before(session, product, search_text=None)
        rows = await batch(session, 0)
        await session.refresh(product)
        product.name = "New name"
        await session.flush()

        statement = OF_PRODUCTS.update(rows)
        assert statement is not None
        await session.exec(statement)

        await session.refresh(product)
        assert product.search_text is not None
        assert product.search_text.startswith("new name")

    async def test_what_an_older_release_writes_meanwhile_stays_for_the_next_start(self, session: AsyncSession) -> None:
        product = await a_product(session, "Old name")
        await write_as_before(session, product, search_text="wrong")
        rows = await batch(session, 0, utcnow() - LATELY)
        await write_as_before(session, product, name="New name")

        statement = OF_PRODUCTS.update(rows)
        assert statement is not None
        await session.exec(statement)

        await session.refresh(product)
        assert product.search_text == "wrong", "it is not that of the new name, and nothing tells so"

    async def test_rows_that_are_right_are_not_written(self, session: AsyncSession) -> None:
        await a_product(session)
        rows = await batch(session, 0, utcnow() - timedelta(days=1))
        assert len(rows) == 1
        assert OF_PRODUCTS.update(rows) is None

    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    async def test_the_start_says_that_an_index_is_missing(
        self, session: AsyncSession, database: Database, settings: Settings, client: AsyncClient
    ) -> None:
        await a_product(session, "Headphones")
        definition = "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_categories_search_text'"
        create = await session.scalar(text(definition))
        if create is not None:
            assert await inspect(database, settings) == []
            await (await session.connection()).execute(text("DROP INDEX ix_categories_search_text"))
        try:
            found = await inspect(database, settings)
        finally:
            if create is not None:
                await (await session.connection()).execute(text(create))

        assert len(found) == 1
        assert "CREATE EXTENSION pg_trgm" in found[0]
        assert names((await client.get("/products", params={"search": "headphones"})).json()) == ["Headphones"]
