"""Write slots: a write waits for one before its first statement, and reads never do."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.database.write_slots import MAX_WRITES, slots_for
from api.models.product import Product
from api.models.tag import Tag
from api.models.user import User
from api.settings import Settings
from tests.database.support import OpenDatabase
from tests.factories import a_product, a_token
from tests.support import ping
from tests.web.support import add_one, connections_in_use, run, settled_process

ONE_SLOT: dict[str, Any] = {"database_pool_size": 2, "database_pool_timeout": 0.2}
"""Settings by which one write runs at once, on each database."""


async def add_a_tag(session: AsyncSession) -> None:
    session.add(Tag(name="Reviews", slug="reviews"))
    await session.flush()


async def read_a_stream(session: AsyncSession) -> None:
    rows = await session.stream(text("SELECT 1"))
    assert await rows.scalars().all() == [1]


async def read_in_a_savepoint(session: AsyncSession) -> None:
    async with session.begin_nested():
        await session.exec(select(Tag))


FIRST_STATEMENTS: dict[str, Callable[[AsyncSession], Awaitable[Any]]] = {
    "exec": lambda session: session.exec(select(Tag)),
    "scalar": lambda session: session.scalar(text("SELECT 1")),
    "stream": read_a_stream,
    "get": lambda session: session.get(Tag, 1),
    "connection": lambda session: session.connection(),
    "savepoint": read_in_a_savepoint,
    "flush": add_a_tag,
}
"""All ways in which a session comes to its connection, each of which calls `get_bind`."""


@pytest.fixture
async def product(session: AsyncSession) -> Product:
    return await a_product(session, stock_quantity=10)


class TestNumberOfSlots:
    @pytest.mark.parametrize(
        ("backend", "connections", "slots"),
        [
            ("sqlite", 20, 1),
            ("sqlite", None, 1),
            ("postgresql", None, MAX_WRITES),
            ("postgresql", 30, MAX_WRITES),
            ("mysql", 9, 8),
            ("mysql", 8, 7),
            ("mysql", 3, 2),
            ("postgresql", 2, 1),
            ("postgresql", 1, 1),
        ],
    )
    def test_some_connections_are_left_to_reads(self, backend: str, connections: int | None, slots: int) -> None:
        assert slots_for(backend, connections) == slots


class TestTransaction:
    """`database.transaction()`, whose session waits for a slot in `get_bind`."""

    @pytest.mark.parametrize("first_statement", FIRST_STATEMENTS.values(), ids=FIRST_STATEMENTS)
    @pytest.mark.usefixtures("database")
    async def test_the_first_statement_waits_for_a_slot(
        self, open_database: OpenDatabase, first_statement: Callable[[AsyncSession], Awaitable[Any]]
    ) -> None:
        async def write() -> None:
            async with database.transaction() as session:
                await first_statement(session)

        async with open_database(**{**ONE_SLOT, "database_pool_timeout": 5}) as database:
            async with database.transaction() as other:
                await run(other, "SELECT 1")
                waiting = asyncio.create_task(write())
                await asyncio.sleep(0.1)
                in_use = connections_in_use(database)
                assert not waiting.done(), "the second write did not wait for the slot of the first"
                assert in_use == 1, f"{in_use} connections are in use by one write and one that waits"
            async with asyncio.timeout(5):
                await waiting
            assert not database.is_busy(), "a slot was not given back"

    @pytest.mark.usefixtures("database")
    async def test_a_transaction_without_a_statement_takes_no_slot(self, open_database: OpenDatabase) -> None:
        async with open_database(**ONE_SLOT) as database, database.transaction(), database.transaction():
            assert not database.is_busy()

    @pytest.mark.usefixtures("database")
    async def test_a_transaction_takes_one_slot_for_all_its_statements(self, open_database: OpenDatabase) -> None:
        async with open_database(**ONE_SLOT) as database, database.transaction() as session:
            answers = [(await run(session, "SELECT 1")).scalar() for _ in range(3)]
        assert answers == [1, 1, 1], "a statement waited for a slot that its own transaction holds"

    @pytest.mark.usefixtures("database")
    async def test_a_transaction_without_a_free_slot_ends_in_time(self, open_database: OpenDatabase) -> None:
        async def write() -> None:
            async with database.transaction() as session:
                await run(session, "SELECT 1")

        async with open_database(**ONE_SLOT) as database:
            async with database.transaction() as other:
                await run(other, "SELECT 1")
                with pytest.raises(PoolTimeout, match=r"No write has ended for 0\.2 seconds"):
                    await write()
            await write()

    @pytest.mark.usefixtures("database")
    async def test_a_read_does_not_wait_for_a_slot(self, open_database: OpenDatabase) -> None:
        async with open_database(**ONE_SLOT) as database, database.transaction() as write:
            await run(write, "SELECT 1")
            assert database.is_busy()
            await ping(database)


class TestRequests:
    async def test_reads_are_answered_while_more_writes_wait_than_there_are_connections(
        self, settings: Settings, as_staff: AsyncClient, database: Database, product: Product
    ) -> None:
        path, body = f"/products/{product.id}", {"delta": 5, "reason": "Delivery"}
        small = {"database_pool_size": 3, "database_pool_timeout": 2}
        async with (
            settled_process(settings, **small) as (_, client),
            database.writes() as other,
            other.begin(),
        ):
            client.headers = as_staff.headers
            await add_one(other, product.id)
            waiting = asyncio.gather(*(client.post(f"{path}/stock", json=body) for _ in range(12)))
            reads: set[int] = set()
            while not waiting.done():
                reads.add((await client.get(path)).status_code)
            await other.rollback()

        refused = await waiting
        assert {response.status_code for response in refused} == {503}
        assert all(int(response.headers["Retry-After"]) > 0 for response in refused)
        assert reads == {200}, "a read waited in vain for a connection"

    async def test_a_read_whose_token_was_never_used_before_does_not_wait_for_a_slot(
        self, settings: Settings, customer: User, session: AsyncSession
    ) -> None:
        """The use of a token is recorded by a write, which can be done later."""
        secret, token = await a_token(session, customer, last_used_at=None)
        headers = {"Authorization": f"Bearer {secret}"}
        small = {"database_pool_size": 3, "database_pool_timeout": 3}
        async with settled_process(settings, **small) as (second_database, client):
            async with AsyncExitStack() as writing:
                while not second_database.is_busy():
                    await run(await writing.enter_async_context(second_database.transaction()), "SELECT 1")
                began = monotonic()
                read = await client.get("/users/me", headers=headers)
                took = monotonic() - began
            later = await client.get("/users/me", headers=headers)

        assert (read.status_code, later.status_code) == (200, 200)
        assert took < 3, f"the read took {took:.1f} s"
        await session.refresh(token)
        assert token.last_used_at is not None, "the use of the token was never recorded"

    async def test_a_refused_write_gives_its_slot_back(
        self, settings: Settings, as_staff: AsyncClient, database: Database, product: Product
    ) -> None:
        """A slot that was lost would be missing for good."""
        path = f"/products/{product.id}/stock"
        small = {"database_pool_size": 1, "database_pool_timeout": 2}
        async with settled_process(settings, **small) as (_, client):
            client.headers = as_staff.headers
            async with database.writes() as other, other.begin():
                await add_one(other, product.id)
                late = await asyncio.gather(*(client.post(path, json={"delta": 1, "reason": "Late"}) for _ in range(5)))
                await other.rollback()
            refused = [await client.post(path, json={"delta": -1_000, "reason": "Theft"}) for _ in range(5)]
            done = await client.post(path, json={"delta": 1, "reason": "Delivery"})

        assert {response.status_code for response in late} == {503}
        assert {response.status_code for response in refused} == {409}
        assert done.status_code == 201
