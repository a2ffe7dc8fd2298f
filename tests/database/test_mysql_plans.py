"""MariaDB and MySQL lock the rows that a statement names, and read no others on the way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy.dialects import mysql
from sqlmodel import col, or_, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.mysql_plans import BY_PRIMARY_KEY
from api.database.sessions import Database
from api.models.product import Product
from api.models.tag import PostTag
from api.models.user import User
from tests.databases import Backend
from tests.factories import a_product, an_account, order_body
from tests.plans import plan_of
from tests.routes.imports.support import upload
from tests.support import told_of_statements
from tests.web.support import run

PRODUCTS = 24
"""Of which an order of eight is a third: the server would read them all."""


@pytest.fixture
async def products(session: AsyncSession, backend: Backend) -> list[Product]:
    if backend.name != "mariadb":
        pytest.skip("only MariaDB and MySQL lock each row that they read")
    found = [await a_product(session, price="1.00", stock_quantity=90) for _ in range(PRODUCTS)]
    await run(session, "ANALYZE TABLE products")
    return found


@contextmanager
def locking_statements(database: Database) -> Iterator[list[tuple[str, Sequence[Any]]]]:
    """Collect the statements by which rows are locked: UPDATEs, and SELECTs that say so."""
    found: list[tuple[str, Sequence[Any]]] = []

    def keep(sql: str, values: Sequence[Any]) -> None:
        if sql.startswith("UPDATE") or "FOR UPDATE" in sql or "LOCK IN SHARE MODE" in sql:
            found.append((sql, values))

    with told_of_statements(database, keep):
        yield found


async def test_what_sells_edits_and_pays_reads_no_row_that_it_does_not_name(
    as_customer: AsyncClient,
    as_staff: AsyncClient,
    database: Database,
    session: AsyncSession,
    products: list[Product],
    customer: User,
    other_customer: User,
) -> None:
    accounts = [await an_account(session, user, balance="50.00") for user in (customer, other_customer)]
    some = [(product, 2) for product in products[::3]]

    with locking_statements(database) as sent:
        order = (await as_customer.post("/orders", json=order_body(*some))).json()
        paid = {"method": "card", "amount": "5.00"}
        answers = [
            await as_staff.post(f"/orders/{order['id']}/payments", json=paid),
            await as_customer.post(f"/orders/{order['id']}/cancel"),
            await as_staff.post(f"/products/{products[1].id}/stock", json={"delta": 1, "reason": "Delivery"}),
            await as_staff.patch(f"/products/{products[2].id}", json={"price": "5.00"}),
            await as_customer.post("/accounts/transfers", json={"to_account_id": accounts[1].id, "amount": "1.00"}),
            await upload(as_staff, "products", "sku,price\n" + "".join(f"{each.sku},7.00\n" for each in products[::3])),
        ]

    assert {answer.is_success for answer in answers} == {True}, [answer.text for answer in answers]
    changed = {sql.split()[1] for sql, _ in sent if sql.startswith("UPDATE")}
    assert changed == {"products", "orders", "payments", "accounts"}
    for sql, values in sent:
        for step in await plan_of(database, sql, values):
            how, key = step[3], step[5]
            by_id = how in {"const", "eq_ref", "range"} and key == "PRIMARY"
            nothing = how is None  # it read a row by its id, and saw that it does not fit
            assert by_id or how == "ref" or nothing, f"{step}: {sql}"


@pytest.mark.parametrize(
    ("where", "is_hinted"),
    [
        (lambda: (col(Product.id) == 1,), True),
        (lambda: (col(Product.stock_quantity) > 1, col(Product.id).in_([1, 2])), True),
        (lambda: (col(Product.sku) == "A",), False),
        (lambda: (or_(col(Product.id) == 1, col(Product.sku) == "A"),), False),
        (lambda: (col(Product.id) > 1,), False),
        (lambda: (), False),
    ],
    ids=["id", "ids-and-more", "another-column", "either", "range", "all"],
)
def test_an_update_has_the_hint_where_it_gives_the_primary_key(
    where: Callable[[], tuple[Any, ...]], is_hinted: bool
) -> None:
    statement = update(Product).where(*where()).values(name="New")

    assert (BY_PRIMARY_KEY in str(statement.compile(dialect=mysql.dialect()))) == is_hinted
    assert BY_PRIMARY_KEY not in str(statement)


def test_an_update_gives_the_whole_primary_key() -> None:
    half = update(PostTag).where(col(PostTag.post_id) == 1).values(tag_id=2)
    whole = half.where(col(PostTag.tag_id) == 1)

    assert BY_PRIMARY_KEY not in str(half.compile(dialect=mysql.dialect()))
    assert BY_PRIMARY_KEY in str(whole.compile(dialect=mysql.dialect()))
