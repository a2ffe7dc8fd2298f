"""Requests in a database whose tables are not those of this release: 503, and the refusal says why."""

import pytest
from httpx import AsyncClient

from api.database.sessions import Database
from tests.databases import Backend
from tests.schema import HEAD, OLDEST, changed
from tests.support import assert_refused, count_statements

TAG = {"name": "Vinyl"}
RENAME = "ALTER TABLE tags RENAME COLUMN {} TO {}"
NEWER = ("UPDATE alembic_version SET version_num = 'tomorrow'", f"UPDATE alembic_version SET version_num = '{HEAD}'")


class TestMissing:
    @pytest.mark.parametrize(
        ("version", "reason"), [("tomorrow", "newer release than this code"), (OLDEST, "Run `alembic upgrade head`")]
    )
    async def test_a_missing_table_is_a_503_that_says_so(
        self, as_staff: AsyncClient, database: Database, version: str, reason: str
    ) -> None:
        restore = f"UPDATE alembic_version SET version_num = '{HEAD}'"
        async with (
            changed(database, "ALTER TABLE tags RENAME TO hidden", "ALTER TABLE hidden RENAME TO tags"),
            changed(database, f"UPDATE alembic_version SET version_num = '{version}'", restore),
        ):
            for refused in (await as_staff.get("/tags"), await as_staff.post("/tags", json=TAG)):
                assert_refused(refused, 503, reason)
                assert int(refused.headers["Retry-After"]) > 0
        assert (await as_staff.post("/tags", json=TAG)).status_code == 201

    async def test_a_missing_column_is_a_503_that_says_so(self, as_staff: AsyncClient, database: Database) -> None:
        async with (
            changed(database, RENAME.format("slug", "hidden"), RENAME.format("hidden", "slug")),
            changed(database, *NEWER),
        ):
            for refused in (await as_staff.get("/tags"), await as_staff.post("/tags", json=TAG)):
                assert_refused(refused, 503, "newer release than this code")
        assert (await as_staff.get("/tags")).status_code == 200

    async def test_a_column_that_only_a_newer_release_knows_is_a_503_for_writes(
        self, server_backend: Backend, as_staff: AsyncClient, database: Database
    ) -> None:
        """SQLite adds no column that needs a value."""
        async with (
            changed(database, "ALTER TABLE tags ADD colour VARCHAR(9) NOT NULL", "ALTER TABLE tags DROP COLUMN colour"),
            changed(database, *NEWER),
        ):
            assert_refused(await as_staff.post("/tags", json=TAG), 503, "newer release than this code")
            assert (await as_staff.get("/tags")).status_code == 200

    async def test_a_mistake_in_the_code_stays_an_internal_error(
        self, as_staff: AsyncClient, database: Database
    ) -> None:
        async with changed(database, "ALTER TABLE tags RENAME TO hidden", "ALTER TABLE hidden RENAME TO tags"):
            with pytest.raises(Exception, match="tags"):
                await as_staff.get("/tags")


class TestCost:
    async def test_no_request_that_succeeds_asks_for_the_revision(
        self, as_staff: AsyncClient, database: Database
    ) -> None:
        with count_statements(database) as statements:
            assert (await as_staff.get("/tags")).status_code == 200
            assert (await as_staff.post("/tags", json=TAG)).status_code == 201
        assert not [each for each in statements if "alembic_version" in each]
