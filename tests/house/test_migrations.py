"""Migrations go up, down, offline and two at once, on every database; one that fails changes nothing."""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory

from api.models.account import ShopAccount
from tests.alembic_support import alembic, contents, sql, tables
from tests.house.migrations import (
    DEFAULT_CATEGORIES,
    REVISIONS,
    assert_equals_models,
    draft,
    only_sqlite,
    upgrade_twice_at_once,
    where_ddl_is_transactional,
    write_world,
)
from tests.support import ROOT

Rows = dict[str, list[tuple[Any, ...]]]

RESTORED = {"categories", "accounts"}
"""Unused rows of migrations go when these go down, and come back with new ids."""


def test_a_fresh_upgrade_equals_the_models(url: str) -> None:
    alembic(url, "upgrade", "head")
    assert_equals_models(url)


def test_a_copy_of_a_migrated_database_equals_the_models_too(migrated: str, template: str) -> None:
    """Most tests that begin with a migrated database take a copy."""
    assert_equals_models(migrated)
    assert contents(migrated) == contents(template)


def test_every_revision_goes_down_and_up_again_with_rows_in_place(migrated: str) -> None:
    """One after the other, from the last one: each goes down, up and down again. Then all go up at once."""
    url = migrated
    write_world(url)
    sql(url, "UPDATE users SET pending_email = NULL")  # a column that is dropped loses its values
    sql(url, "DELETE FROM mails WHERE kind = 'registration'")  # which an older release does not know
    before = contents(url)
    empty = [name for name, rows in before.items() if not rows]
    assert not empty, f"tests/world.py writes no row of {', '.join(empty)}"

    for upper, lower in pairwise(reversed(REVISIONS)):
        before = contents(url)
        alembic(url, "downgrade", lower)
        for new in before.keys() - tables(url):  # a table that is dropped loses its rows
            before[new] = []
        alembic(url, "upgrade", upper)
        assert_same_rows(contents(url), before)
        alembic(url, "downgrade", lower)

    below = contents(url)
    alembic(url, "upgrade", "head")
    assert_equals_models(url)
    after = contents(url)
    assert all(len(after[name]) == len(below[name]) for name in below.keys() - RESTORED)

    alembic(url, "downgrade", "base")
    assert tables(url) == {"alembic_version"}
    alembic(url, "upgrade", "head")
    assert_equals_models(url)


def assert_same_rows(after: Rows, before: Rows) -> None:
    assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
    for name in before.keys() - RESTORED:
        assert after[name] == before[name]


def test_a_second_upgrade_changes_nothing(migrated: str) -> None:
    before = contents(migrated)
    alembic(migrated, "upgrade", "head")
    assert contents(migrated) == before


def test_the_revisions_are_one_line_of_history_with_readable_names() -> None:
    script = ScriptDirectory(ROOT / "migrations")
    assert len(script.get_heads()) == 1
    for each in script.walk_revisions():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{4}_[a-z]+(_[a-z]+)*\.py", Path(each.path).name)


class TestOffline:
    def test_the_script_of_an_upgrade_does_what_an_upgrade_does(self, url: str) -> None:
        sql(url, *self.statements(alembic(url, "upgrade", "head", sql=True)))
        assert_equals_models(url)
        assert {row.name: row.slug for row in sql(url, "SELECT name, slug FROM categories")} == DEFAULT_CATEGORIES
        assert {row.name for row in sql(url, "SELECT name FROM accounts")} == {each.value for each in ShopAccount}

    def test_the_script_of_a_downgrade_leaves_no_table(self, migrated: str) -> None:
        sql(migrated, *self.statements(alembic(migrated, "downgrade", "head:base", sql=True)))
        assert tables(migrated) == {"alembic_version"}

    @pytest.mark.parametrize("scheme", ["postgres", "mysql"])
    def test_a_script_needs_neither_a_database_nor_a_simple_password(self, scheme: str) -> None:
        script = alembic(f"{scheme}://shop:100%25%40@nowhere.invalid/shop", "upgrade", "head", sql=True)
        assert "CREATE TABLE products" in script

    def test_every_transaction_of_a_script_reads_times_as_utc(self) -> None:
        script = alembic("postgres://shop@nowhere.invalid/shop", "upgrade", "head", sql=True)
        begun = [each.lstrip() for each in script.split("BEGIN;")[1:]]
        assert len(begun) > 1
        assert [each[:40] for each in begun if not each.startswith("SET LOCAL TIME ZONE 'UTC'")] == []

    @staticmethod
    def statements(script: str) -> list[str]:
        return [each for each in script.split(";\n\n") if each.strip()]


@only_sqlite
def test_a_database_has_its_write_ahead_log_before_it_serves(url: str) -> None:
    """The first requests could not switch it on: SQLite would answer all but one of them that it is locked."""
    alembic(url, "upgrade", "head")
    assert sql(url, "PRAGMA journal_mode")[0][0] == "wal"


def test_simultaneous_upgrades_all_succeed(url: str, drafts: Path) -> None:
    """They run in two processes, like a release that is started twice, or two servers that start together."""
    draft(drafts, 'op.execute("CREATE TABLE slow (id INTEGER)")\ntime.sleep(2)')
    ini = (ROOT / "alembic.ini").read_text().replace("%(here)s", str(ROOT))
    locations = f"version_locations = {ROOT / 'migrations' / 'versions'}{os.pathsep}{drafts}"
    (drafts / "alembic.ini").write_text(ini.replace("[alembic]", f"[alembic]\n{locations}"))
    outputs = upgrade_twice_at_once(url, drafts)
    assert sum("Create the schema" in output for output in outputs) == 1
    assert [row.version_num for row in sql(url, "SELECT version_num FROM alembic_version")] == ["draft"]


class TestFailure:
    HALF = 'op.execute("CREATE TABLE half (id INTEGER)")\nop.execute("DELETE FROM categories")\nraise ZeroDivisionError'

    @where_ddl_is_transactional
    def test_a_migration_that_fails_changes_nothing(self, migrated: str, drafts: Path) -> None:
        url = migrated
        before = contents(url)
        draft(drafts, self.HALF)
        with pytest.raises(ZeroDivisionError):
            alembic(url, "upgrade", "head", drafts=drafts)
        assert "half" not in tables(url)
        assert contents(url) == before
        assert sql(url, "SELECT version_num FROM alembic_version")[0].version_num == REVISIONS[-1]

    @where_ddl_is_transactional
    def test_a_migration_that_fails_leaves_an_empty_database_empty(self, url: str, drafts: Path) -> None:
        draft(drafts, self.HALF)
        with pytest.raises(ZeroDivisionError):
            alembic(url, "upgrade", "head", drafts=drafts)
        assert tables(url) == set()

    @only_sqlite
    def test_rows_that_refer_to_nothing_are_refused(self, migrated: str, drafts: Path) -> None:
        """Foreign keys are off while SQLite migrates, and are checked at the end."""
        url = migrated
        write_world(url)
        before = contents(url)
        draft(drafts, 'op.execute("DELETE FROM products")')
        with pytest.raises(ValueError, match="order_items 1, stock_movements 1, stock_movements 2"):
            alembic(url, "upgrade", "head", drafts=drafts)
        assert contents(url) == before
