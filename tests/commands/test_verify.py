"""`python -m api verify`: the books of a shop that was used are right, and rows that are changed by hand are named."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from httpx import AsyncClient
from sqlalchemy import text
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api import __main__ as cli
from api.commands.checks import CHECKS, checks_on
from api.commands.verify import verify
from api.database.sessions import Database
from api.models.product import Product
from api.models.user import User
from tests.alembic_support import sql
from tests.databases import BACKENDS
from tests.factories import a_product, an_account, order_body
from tests.seed import Seed

COUNTS = "a count of products is how many there are"

BREACHES = {  # a part of each promise, and statements that break it on a connection without constraints
    "a product's stock is the sum of its movements": ["UPDATE products SET stock_quantity = stock_quantity + 1"],
    "an order's total is the sum of its lines": ["UPDATE orders SET total_amount = total_amount + 1"],
    "a line's total is its quantity times its price": ["UPDATE order_items SET total_price = total_price + 1"],
    "an order took what its lines say": [
        "UPDATE stock_movements SET delta = -1 WHERE reason = 'order'",
        "UPDATE products SET stock_quantity = (SELECT SUM(delta) FROM stock_movements WHERE product_id = products.id)",
    ],
    "gave it back if and only if it was cancelled": ["DELETE FROM stock_movements WHERE reason = 'cancellation'"],
    "a stock movement of an order is of one of its lines": ["DELETE FROM order_items"],
    "an order's payments add up to its paid amount": [
        "UPDATE orders SET paid_amount = paid_amount - 1 WHERE paid_amount > refunded_amount"
    ],
    "an order's refunds add up to its refunded amount": ["UPDATE orders SET refunded_amount = 0"],
    "a payment's refunds add up to its refunded amount": ["DELETE FROM refunds"],
    "the payments of a cancelled order are refunded": ["UPDATE payments SET refunded_amount = 0"],
    "equals the order's transactions": [
        "UPDATE transactions SET order_id = NULL WHERE order_id IS NOT NULL AND from_account_id > to_account_id"
    ],
    "an account's balance is what came in less what went out": ["DELETE FROM transactions"],
    "all balances sum to zero": ["UPDATE accounts SET balance = balance + 1 WHERE user_id IS NOT NULL"],
    "an order's status is that of its last event": ["UPDATE orders SET status = 'shipped' WHERE status = 'pending'"],
    "an order's events follow each other legally": [
        "UPDATE order_events SET from_status = 'delivered' WHERE to_status = 'cancelled'"
    ],
    "an order belongs to a user": ["UPDATE orders SET user_id = 999999"],
    "a notification belongs to a user": ["UPDATE notifications SET user_id = 999999"],
    "a used idempotency key has its answer": ["UPDATE idempotency_keys SET status_code = NULL"],
    COUNTS: ["UPDATE product_counts SET number = number + 1"],
}

BEHIND_THE_SHOP = [
    ("UPDATE tags SET name = 'Tapes'", r"tags \d+: name is 'Tapes', and its last entry says 'Records'"),
    ("DELETE FROM tags", r"tags \d+ is gone, and its last entry \d+ says that it was changed"),
    (
        "UPDATE users SET is_superuser = FALSE WHERE id IN (SELECT user_id FROM orders)",
        r"users \d+: is_superuser is False, and its last entry says True",
    ),
    (
        "UPDATE orders SET user_id = (SELECT MAX(id) FROM users) "
        "WHERE id = (SELECT * FROM (SELECT MIN(id) FROM orders) o)",
        r"orders \d+: user_id is \d+, and its last entry says \d+",
    ),
    (
        "DELETE FROM audit_entries WHERE id = (SELECT * FROM (SELECT MAX(id) FROM audit_entries) e)",
        r"tags \d+: name is 'Records', and its last entry says 'Vinyl'",
    ),
]
"""Statements past the shop, and how `verify` names the row."""

ONLY_ON = {COUNTS: ["postgresql"]}


@pytest.fixture
async def used_shop(
    session: AsyncSession, customer: User, as_customer: AsyncClient, as_staff: AsyncClient
) -> AsyncClient:
    """A shop with a pending order, one that is partly paid by card, and a cancelled one that was paid by credit."""
    product = await a_product(session, price="79.99", stock_quantity=50)
    account = await an_account(session, customer)
    deposit = await as_staff.post(f"/accounts/{account.id}/deposits", json={"amount": "500.00"})
    assert deposit.status_code == 201
    orders = [await _order(as_customer, product, key) for key in ("one", "two", "three")]
    for order, payer, payment in (
        (orders[1], as_staff, {"method": "card", "amount": "10.00", "reference": "ch_1"}),
        (orders[2], as_customer, {"method": "store_credit", "amount": "159.98"}),
    ):
        assert (await payer.post(f"/orders/{order}/payments", json=payment)).status_code == 201
    assert (await as_customer.post(f"/orders/{orders[2]}/cancel")).status_code == 200
    return as_staff


async def _order(client: AsyncClient, product: Product, key: str) -> int:
    placed = await client.post("/orders", json=order_body((product, 2)), headers={"Idempotency-Key": key})
    assert placed.status_code == 201, placed.text
    order_id: int = placed.json()["id"]
    return order_id


WITHOUT_CONSTRAINTS = {
    "sqlite": ["PRAGMA ignore_check_constraints = ON", "PRAGMA foreign_keys = OFF"],
    "mysql": ["SET check_constraint_checks = 0", "SET foreign_key_checks = 0"],
    "postgresql": [
        "SET session_replication_role = replica",
        "ALTER TABLE order_items DROP CONSTRAINT ck_order_items_total_price",  # a CHECK cannot be switched off
    ],
}
"""Statements that switch the constraints of a connection off, as they are during a careless restore."""

RESTORE_CHECK = [
    "DELETE FROM order_items",
    "ALTER TABLE order_items ADD CONSTRAINT ck_order_items_total_price CHECK (total_price = quantity * unit_price)",
]


@asynccontextmanager
async def broken(database: Database, promise: str) -> AsyncIterator[None]:
    kind = database.engine.dialect.name
    try:
        await _run(database, [*WITHOUT_CONSTRAINTS[kind], *BREACHES[promise]])
        yield
    finally:
        if promise == COUNTS:  # they are in no model, so nobody else puts them back
            await _run(database, ["UPDATE product_counts SET number = number - 1"])
        if kind == "postgresql":
            await _run(database, RESTORE_CHECK)


async def _run(database: Database, statements: Sequence[str]) -> None:
    async with database.engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
        await connection.invalidate()  # with the constraints that are switched off


class TestVerify:
    @pytest.mark.usefixtures("used_shop")
    async def test_the_books_of_a_used_shop_are_right(
        self, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert await verify(database)
        printed = capsys.readouterr().out
        assert f"{len(checks_on(database.backend)) + 1} checks, all is well" in printed
        assert "(3 orders, " in printed

    async def test_the_books_of_a_shop_in_use_are_right_at_every_moment(
        self, used_shop: AsyncClient, as_customer: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        """Each check is one statement, which never sees an order without its lines."""
        (product,) = (await session.exec(select(Product))).all()

        async def buy(number: int) -> None:
            order = await _order(as_customer, product, f"buy-{number}")
            cash = {"method": "cash", "amount": "159.98"}
            assert (await used_shop.post(f"/orders/{order}/payments", json=cash)).status_code == 201
            assert (await as_customer.post(f"/orders/{order}/cancel")).status_code == 200

        buying = asyncio.gather(*(buy(number) for number in range(20)))
        found = []
        while not buying.done():
            found.append(await verify(database))
        await buying
        assert len(found) > 1, "the books were not verified while orders were placed"
        assert all(found), f"{found.count(False)} of {len(found)} times the books of a shop in use were wrong"

    @pytest.mark.usefixtures("used_shop")
    async def test_rows_that_break_a_promise_are_named(
        self, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """One promise after the other, in a shop that is put back each time."""
        used = await Seed.of(database)
        for promise in BREACHES:
            if database.backend not in ONLY_ON.get(promise, BACKENDS):
                continue
            capsys.readouterr()
            async with broken(database, promise):
                assert not await verify(database), promise
            lines = capsys.readouterr().out.splitlines()
            told = [number for number, line in enumerate(lines) if line.startswith("BROKEN") and promise in line]
            assert len(told) == 1, f"{promise}: {lines}"
            assert lines[told[0] + 1].startswith("        "), f"{promise}: no row is named: {lines}"
            await used.restore(database)
        assert await verify(database)

    @pytest.mark.parametrize(("statement", "named"), BEHIND_THE_SHOP)
    async def test_a_change_behind_the_shops_back_is_named_until_it_is_accepted(
        self,
        used_shop: AsyncClient,
        database: Database,
        capsys: pytest.CaptureFixture[str],
        statement: str,
        named: str,
    ) -> None:
        made = await used_shop.post("/tags", json={"name": "Vinyl"})
        (order, *_) = (await used_shop.get("/orders")).json()["items"]
        await used_shop.patch(f"/users/{order['user_id']}", json={"is_superuser": True})
        await used_shop.patch(f"/tags/{made.json()['id']}", json={"name": "Records"})
        await _run(database, [statement])

        assert not await verify(database)
        printed = capsys.readouterr().out
        (line,) = re.findall(r"^BROKEN  a row is what its last audit entries say.*\n +(.*)$", printed, re.MULTILINE)
        assert re.fullmatch(named, line)

        assert not await verify(database, accepts=True)
        assert "1 rows are accepted as they are" in capsys.readouterr().out
        assert await verify(database)
        newest = (await used_shop.get("/audit?cursor=&limit=1")).json()["items"][0]
        assert (newest["command"], newest["user_id"]) == ("verify", None)

    async def test_a_change_between_two_entries_is_named(
        self, as_staff: AsyncClient, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tag = f"/tags/{(await as_staff.post('/tags', json={'name': 'Vinyl'})).json()['id']}"
        await _run(database, ["UPDATE tags SET name = 'Tapes'"])
        await as_staff.patch(tag, json={"name": "Records"})

        assert not await verify(database)
        assert re.search(
            r"tags \d+: name became 'Vinyl', and was 'Tapes' before entry \d+$", capsys.readouterr().out, re.M
        )
        assert not await verify(database, accepts=True)
        assert await verify(database)

    def test_every_check_is_broken_by_a_test(self) -> None:
        for check in CHECKS:
            assert any(promise in check.promise for promise in BREACHES), (
                f"add to BREACHES how to break: {check.promise}"
            )

    def test_the_exit_code_says_whether_the_books_are_right(
        self, migrated: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["verify"]) == 0
        sql(migrated, "UPDATE accounts SET balance = 100 WHERE name = 'Sales'")
        assert cli.main(["verify"]) == 1
