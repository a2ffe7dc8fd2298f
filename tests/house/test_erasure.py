"""What becomes of each table when a user is erased: its rows go along, or a reason in api/rules/erasure.py keeps them.

Each failure names the column, the file and the line to add. `tests/rules/test_erasure.py` looks at the same through the
routes, and at what happens at the same time.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Table
from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.columns import UnicodeString
from api.models.user import User
from api.rules.erasure import (
    KEPT_ROWS,
    KEPT_TEXTS,
    erase,
    erase_inactive,
    foreign_keys_to_users,
    owners_of_erased_rows,
)
from tests.house.families import TABLES, file_of
from tests.world import OWNER, PRIVATE, write_rows

RULE = "api/rules/erasure.py"

KEPT_WITH_BOOKS = {"accounts.user_id"}
"""Keys that say CASCADE and whose rows are kept all the same: an account without transactions goes with its user."""

PERSON = {
    "username": "ermintrude",
    "email": "ermintrude@garden.example",
    "full_name": "Ermintrude Bluebell",
    "bio": f"{PRIVATE}: sings in the meadow.",
}
"""Who the owner of the world's rows is. No other text of the tests has these values."""


KEPT_OF_USERS = {"id", "created_at", "updated_at", "version"}
"""The columns of `users` that tell nothing of the person."""


def ondelete(column: Column[Any]) -> str | None:
    (key,) = column.foreign_keys
    return key.ondelete


def kept_keys() -> list[Column[Any]]:
    """The foreign keys to users that stand in `KEPT_ROWS`."""
    return [each for each in foreign_keys_to_users() if str(each) in KEPT_ROWS]


def kept_tables() -> list[Table]:
    """The tables whose rows are kept, and the tables whose rows hang on them, such as the lines of an order."""
    erased = {column.table for column in owners_of_erased_rows()}
    kept = {column.table for column in kept_keys()}
    for table in TABLES:  # parents come first
        if table not in erased and any(key.column.table in kept for key in table.foreign_keys):
            kept.add(table)
    return [table for table in TABLES if table in kept]


def text_columns(tables: Iterable[Table]) -> list[Column[Any]]:
    return [each for table in tables for each in table.columns if isinstance(each.type, UnicodeString | JSON)]


class TestKeptRows:
    @pytest.mark.parametrize("column", foreign_keys_to_users(), ids=str)
    def test_every_row_of_a_user_is_erased_or_has_a_reason_to_stay(self, column: Column[Any]) -> None:
        assert ondelete(column) == "CASCADE" or str(column) in KEPT_ROWS, (
            f'{column}: say ondelete="CASCADE" in {file_of(column)}, '
            f"or add a line with the reason to KEPT_ROWS in {RULE}"
        )

    @pytest.mark.parametrize("name", KEPT_ROWS)
    def test_every_line_of_kept_rows_is_a_foreign_key_to_users(self, name: str) -> None:
        assert name in map(str, foreign_keys_to_users()), (
            f"{name} is no foreign key to users: take its line out of KEPT_ROWS in {RULE}"
        )
        assert KEPT_ROWS[name].strip(), f"{name} has no reason in KEPT_ROWS of {RULE}"

    def test_no_kept_row_says_cascade(self) -> None:
        wrong = [
            f"{key} says CASCADE in {file_of(key)}, and stands in KEPT_ROWS of {RULE}: take one of the two away"
            for key in kept_keys()
            if ondelete(key) == "CASCADE" and str(key) not in KEPT_WITH_BOOKS
        ]
        assert not wrong, "\n".join(wrong)


class TestKeptUser:
    @pytest.mark.parametrize("column", User.__table__.columns, ids=str)  # type: ignore[attr-defined]
    def test_every_column_of_an_erased_user_is_overwritten(self, column: Column[Any]) -> None:
        assert column.name in {*User.erased_values(), *KEPT_OF_USERS}, (
            f"{column}: say in `erased_values` of api/models/user.py what an erased user has there"
        )


class TestKeptTexts:
    @pytest.mark.parametrize("column", text_columns(kept_tables()), ids=str)
    def test_every_text_of_a_kept_row_has_a_reason_to_stay(self, column: Column[Any]) -> None:
        assert KEPT_TEXTS.get(str(column), "").strip(), (
            f'{column} ({file_of(column)}) outlives an erased user: add the line `"{column}": "the reason",` '
            f"to KEPT_TEXTS in {RULE}"
        )

    @pytest.mark.parametrize("name", KEPT_TEXTS)
    def test_every_line_of_kept_texts_is_a_text_of_a_kept_row(self, name: str) -> None:
        assert name in map(str, text_columns(kept_tables())), (
            f"{name} is no text of a row that is kept: take its line out of KEPT_TEXTS in {RULE}"
        )

    def test_lines_and_payments_of_a_kept_order_are_kept(self) -> None:
        names = {table.name for table in kept_tables()}
        assert {"orders", "order_items", "payments", "refunds", "accounts", "transactions"} <= names
        assert not names & {"users", "products", "notifications", "posts", "tokens", "idempotency_keys"}


@pytest.mark.parametrize("bulk", [False, True], ids=["one user", "all inactive users"])
class TestErasedOwner:
    """The owner of one row of everything has an order, and so the user's own row is kept without a name."""

    @pytest.fixture
    async def owner(self, database: Database, session: AsyncSession, bulk: bool) -> int:
        await write_rows(session)
        person = {**PERSON, "is_active": not bulk}
        await session.exec(update(User).where(col(User.id) == OWNER).values(person))
        return OWNER

    async def erase(self, database: Database, owner: int, bulk: bool) -> None:
        async with database.writes() as session, session.begin():
            if bulk:
                assert await erase_inactive(session) == 2, "the owner and the inactive user of the world"
            else:
                await erase(session, (await session.exec(select(User).where(User.id == owner))).one())

    async def test_no_row_that_goes_with_its_user_is_left(
        self, database: Database, session: AsyncSession, owner: int, bulk: bool
    ) -> None:
        keys = owners_of_erased_rows()
        missing = [
            f"{key.table.name} has no row of the owner: add one to `write_rows` in tests/world.py"
            for key in keys
            if not await count_rows(session, key, owner)
        ]
        assert not missing, "\n".join(missing)

        await self.erase(database, owner, bulk)

        left = [f"{key} still names the erased user" for key in keys if await count_rows(session, key, owner)]
        assert not left, "\n".join(left)
        assert await session.get(User, owner) is not None, "a user with an order keeps a row"

    async def test_every_row_with_a_reason_to_stay_is_kept(
        self, database: Database, session: AsyncSession, owner: int, bulk: bool
    ) -> None:
        before = {str(key): await count_rows(session, key, owner) for key in kept_keys()}

        await self.erase(database, owner, bulk)

        assert {str(key): await count_rows(session, key, owner) for key in kept_keys()} == before
        assert before["orders.user_id"]
        assert before["accounts.user_id"]

    async def test_nothing_tells_who_an_erased_user_was(
        self, database: Database, session: AsyncSession, owner: int, bulk: bool
    ) -> None:
        everywhere = text_columns(TABLES)
        known = await columns_with(session, everywhere, *PERSON.values())
        assert known == {f"users.{field}" for field in PERSON}, "the world has copies of what users say of themselves"

        await self.erase(database, owner, bulk)

        found = await columns_with(session, everywhere, *PERSON.values())
        assert not found, f"the erased user's name, e-mail address or bio is still in {sorted(found)}"

    async def test_private_texts_are_left_only_where_a_reason_keeps_them(
        self, database: Database, session: AsyncSession, owner: int, bulk: bool
    ) -> None:
        """In the world, whatever nobody but the owner may see has one word in it."""
        texts = [*text_columns(kept_tables()), *text_columns([User.__table__])]  # type: ignore[attr-defined]
        assert "users.bio" in await columns_with(session, texts, PRIVATE)

        await self.erase(database, owner, bulk)

        found = await columns_with(session, texts, PRIVATE)
        assert "orders.shipping_address" in found, "the texts of the books are kept"
        unexplained = sorted(found - KEPT_TEXTS.keys())
        assert not unexplained, f"{unexplained} are left, and have no line in KEPT_TEXTS of {RULE}"


async def count_rows(session: AsyncSession, key: Column[Any], user_id: int) -> int:
    return int((await session.exec(select(func.count()).select_from(key.table).where(key == user_id))).one())


async def columns_with(session: AsyncSession, columns: list[Column[Any]], *texts: str) -> set[str]:
    """The columns in which a row has one of these texts, as a whole or as a part."""
    found = set()
    for column in columns:
        values = [str(value).lower() for value in (await session.exec(select(column))).all()]
        if any(text.lower() in value for text in texts for value in values):
            found.add(str(column))
    return found
