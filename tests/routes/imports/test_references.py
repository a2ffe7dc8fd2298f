"""/imports/categories: rows that refer to other rows of the file, also to rows that are wrong."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from tests.books import rows_of
from tests.factories import a_category
from tests.routes.imports.support import counts, mistakes, upload
from tests.support import count_statements

LOST = "is no slug and no name of a category, nor of one in this file"


async def parents(session: AsyncSession, *names: str) -> dict[str, str | None]:
    """The names of the parents of some categories, where these are there."""
    found = await rows_of(session, Category)
    by_id = {each.id: each.name for each in found}
    return {each.name: by_id.get(each.parent_id or 0) for each in found if each.name in names}


class TestBadParents:
    @pytest.mark.parametrize(
        ("file", "bad", "stored"),
        [
            ("name,parent\nA,Nowhere\nB,A\nC,\n", [2, 3], {"C": None}),
            ("name,parent\nD,C\nC,B\nB,A\nA,Nowhere\nE,\n", [2, 3, 4, 5], {"E": None}),
            ("name,slug,parent\nFoo,s,\nX,s,\nY,,X\nZ,,Foo\n", [3, 4], {"Foo": None, "Z": "Foo"}),
            ("name,parent,description\nA,,\x01\nB,A,\nC,,\n", [2, 3], {"C": None}),
            ("name,slug,parent\nA,a,Nowhere\nB,,A\nC,,a\nD,,C\nE,,\n", [2, 3, 4, 5], {"E": None}),
        ],
        ids=["nowhere", "a chain", "a refused slug", "a refused text", "by slug and by name"],
    )
    async def test_who_has_a_bad_row_as_parent_is_bad_and_the_others_are_imported(
        self, as_staff: AsyncClient, session: AsyncSession, file: str, bad: list[int], stored: dict[str, Any]
    ) -> None:
        response = await upload(as_staff, "categories", file, skip_bad_rows=True)

        assert response.status_code == 200, response.text
        assert counts(response) == (len(stored), 0, 0, len(bad))
        assert sorted(each["line"] for each in response.json()["problems"]) == bad
        assert await parents(session, *"ABCDEXYZ", "Foo") == stored

    async def test_who_refers_to_a_row_that_is_dropped_is_named_too(self, as_staff: AsyncClient) -> None:
        refused = await upload(as_staff, "categories", "name,parent\nA,Nowhere\nB,A\n")

        assert mistakes(refused) == {"line 2.parent": LOST, "line 3.parent": LOST}

    async def test_a_category_that_exists_keeps_its_name_where_its_row_is_dropped(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_category(session, "Old", slug="old")
        file = "slug,name,parent\nold,Renamed,Nowhere\n,Below,Renamed\n,Under,Old\n"

        response = await upload(as_staff, "categories", file, skip_bad_rows=True)

        assert counts(response) == (1, 0, 0, 2)
        assert await parents(session, "Old", "Renamed", "Below", "Under") == {"Old": None, "Under": "Old"}

    async def test_a_long_chain_of_lost_rows_takes_no_longer_than_as_many_others(self, as_staff: AsyncClient) -> None:
        """In the worst order: each row refers to the next one, and the last to none. Looked at again and again, these
        would be looked at 12 million times."""
        rows = "".join(f"N{number},N{number + 1}\n" for number in range(5_000))

        response = await upload(as_staff, "categories", f"name,parent\n{rows}", skip_bad_rows=True)

        assert counts(response) == (0, 0, 0, 5_000)


class TestClaims:
    async def test_a_refused_row_leaves_its_other_values_to_others(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        """The second row has the SKU of the first one, and so no claim on its name."""
        shelf = await a_category(session, "Shelf")
        file = f"sku,name,price,category\nA-1,One,1,{shelf.slug}\nA-1,Two,1,{shelf.slug}\nA-2,Two,1,{shelf.slug}\n"

        response = await upload(as_staff, "products", file, skip_bad_rows=True)

        assert counts(response) == (2, 0, 0, 1)
        assert [each["line"] for each in response.json()["problems"]] == [3]


class TestWriting:
    async def test_a_new_category_at_the_top_is_written_once(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        assert counts(await upload(as_staff, "categories", "name,parent\nTop,\nBelow,Top\n")) == (2, 0, 0, 0)

        named = col(Category.name).in_(["Top", "Below"])
        versions = dict((await session.exec(select(Category.name, Category.version).where(named))).all())
        assert versions == {"Top": 1, "Below": 2}

    async def test_the_tree_is_locked_before_any_row_of_it(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        """A move locks it in ascending order: who had locked one of its rows before could wait for it in a circle."""
        old = await a_category(session, "Old", slug="old")

        with count_statements(database) as statements:
            file = f"name,slug,description,parent\nNew,new,,Old\n,{old.slug},Changed.,\n"
            assert counts(await upload(as_staff, "categories", file)) == (1, 1, 0, 0)

        tree = "SELECT categories.id, categories.parent_id"
        locks = [number for number, each in enumerate(statements) if each.replace("\n", "").startswith(tree)]
        writes = ("INSERT INTO categories", "UPDATE categories")
        changes = [number for number, each in enumerate(statements) if each.startswith(writes)]
        assert locks[0] < min(changes)
        if database.backend != "sqlite":
            row_locks = [number for number, each in enumerate(statements) if " FOR " in each and "categories" in each]
            assert row_locks[0] == locks[0]
