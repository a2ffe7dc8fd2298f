"""A hundred thousand products and orders: migrated while they are there, and read by indexes."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from sqlmodel import select

from api.auth.tokens import new_token
from api.database.sessions import Database
from api.main import create_app
from api.models.token import TokenKind
from api.models.user import User
from api.settings import Settings
from tests import large_shop
from tests.alembic_support import alembic, sql
from tests.databases import Backend
from tests.factories import a_user
from tests.house.migrations import assert_equals_models
from tests.plans import assert_reads_in_order, generic_plan_of, last_statement, plan_of
from tests.support import FreshSession, save, told_of_statements

pytestmark = pytest.mark.large

ROWS = 100_000
ANALYZE = {"sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE", "mariadb": "ANALYZE TABLE {}"}
TABLES = ("products", "orders", "order_items", "stock_movements", "notifications", "audit_entries")

LISTS = {
    "anyone": [
        "/products?",
        "/products?sort=price&",
        "/products?sort=-price&",
        "/products?sort=name&",
        "/products?sort=-name&",
        "/products?category_id=7&",
        "/products?category_id=7&sort=price&",
        "/products?category_id=7&sort=-price&",
        "/products?category_id=7&min_price=2&sort=price&",
        "/categories/7/products?",
    ],
    "customer": ["/orders?", "/notifications?"],
    "staff": [
        "/products?",
        "/orders?",
        "/orders?status=pending&",
        "/orders/user/7?",
        "/products/7/movements?",
        "/users?",
        "/audit?",
        "/audit?entity=products&",
        "/audit?entity=products&row_id=7&",
        "/audit?user_id=7&",
    ],
}
"""The hot lists, by who reads them."""

PARTS = {"cursor": "cursor=", "page": "page=1", "deep page": "page=10"}
CASES = [
    (who, path, part)
    for who, paths in LISTS.items()
    for path in paths
    for part in PARTS
    if (path, part) != ("/categories/7/products?", "deep page")  # MariaDB sorts the two thousand products of a category
]


@pytest.fixture(scope="module")
def url(backend: Backend, template: str) -> Iterator[str]:
    """A shop that was filled, has gone down to the release before searches were stored, and up again."""
    with backend.new_database(copied_from=template) as url:
        large_shop.fill(url, ROWS)
        alembic(url, "downgrade", large_shop.BEFORE_SEARCHES)
        alembic(url, "upgrade", "head")
        large_shop.fill_trail(url, ROWS)
        for name in TABLES if backend.name == "mariadb" else TABLES[:1]:  # what the plans are made of
            sql(url, ANALYZE[backend.name].format(name))
        yield url


@pytest.fixture(scope="module")
async def shop(url: str, anyio_backend: str) -> AsyncIterator[tuple[Database, dict[str, AsyncClient]]]:
    app = create_app(Settings(_env_file=None, database_url=url))
    transport = ASGITransport(app)
    async with app.router.lifespan_context(app), FreshSession(app.state.database.engine) as session:
        clients = {"anyone": AsyncClient(transport=transport, base_url="http://test.example")}
        staff = (await session.exec(select(User).where(User.username == "staff"))).first()
        users = {
            "customer": (await session.exec(select(User).where(User.username == "user7"))).one(),
            "staff": staff or await a_user(session, "staff", is_superuser=True),
        }
        for name, user in users.items():
            secret, token = new_token(user, TokenKind.SESSION, "Test", timedelta(days=1))
            await save(session, token)
            clients[name] = AsyncClient(
                transport=transport, base_url="http://test.example", headers={"Authorization": f"Bearer {secret}"}
            )
        yield app.state.database, clients
        for client in clients.values():
            await client.aclose()


Shop = tuple[Database, dict[str, AsyncClient]]


class TestMigration:
    def test_every_row_is_prepared_for_searches(self, url: str) -> None:
        assert tuple(sql(url, "SELECT count(*), count(search_text) FROM products")[0]) == (ROWS, ROWS)
        texts = sql(url, "SELECT search_text FROM products WHERE id = 7")
        assert texts[0][0] == "product 7\np-7\nthirty hours a charge, model 55433, in colour 7"

    def test_the_tables_equal_the_models(self, url: str) -> None:
        assert_equals_models(url)


class TestLists:
    @pytest.mark.parametrize(("who", "path", "part"), CASES)
    async def test_a_list_is_read_by_an_index_that_has_its_order(
        self, shop: Shop, backend: Backend, who: str, path: str, part: str
    ) -> None:
        database, clients = shop
        with last_statement(database) as sent:
            page = await clients[who].get(path + PARTS[part])

        assert page.status_code == 200
        assert page.json()["items"] or part == "deep page"
        counted = "/products?" in path or part == "cursor"
        plan = await plan_of(database, *sent)
        assert_reads_in_order(backend.name, plan, TABLES if counted else (), sorts_part=part == "deep page")

    @pytest.mark.parametrize("query", ["", "category_id=7", "category_id=7&is_active=true"])
    async def test_the_total_is_exact(self, shop: Shop, query: str) -> None:
        database, clients = shop
        page = await clients["anyone"].get(f"/products?{query}")

        where = "is_active AND category_id = 7" if query else "is_active"
        async with database.connection() as connection:
            ((count,),) = await connection._fetch(f"SELECT count(*) FROM products WHERE {where}", ())
        assert page.json()["total"] == count


class TestSearch:
    @pytest.mark.parametrize(
        ("search", "total"),
        [("model 55433,", 1), ("MODEL  7919,", 1), ("p-777", 106), ("e", 95_000), ("charge", 95_000)],
    )
    async def test_a_search_finds_all_rows(self, shop: Shop, search: str, total: int) -> None:
        _, clients = shop
        page = (await clients["anyone"].get("/products", params={"search": search})).json()
        assert page["total"] == total

    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    @pytest.mark.parametrize("part", PARTS.values())
    async def test_a_search_is_planned_by_its_index_whatever_it_is_for(self, shop: Shop, part: str) -> None:
        database, clients = shop
        with last_statement(database) as sent:
            await clients["anyone"].get(f"/products?search=model&sort=price&{part}")

        assert "Bitmap Index Scan on ix_products_search_text" in await generic_plan_of(database, *sent)


class TestSummary:
    @pytest.mark.parametrize("backend", ["sqlite", "mariadb"], indirect=True)
    async def test_lines_are_read_from_first_to_last_and_not_from_product_to_product(
        self, shop: Shop, backend: Backend
    ) -> None:
        """That takes several times as long, and on MariaDB with a million orders longer than a request may."""
        database, clients = shop
        sent: list[tuple[str, Any]] = []
        with told_of_statements(database, lambda *statement: sent.append(statement)):
            answer = await clients["staff"].get("/orders/stats/summary")

        assert answer.status_code == 200
        (summary,) = [each for each in sent if "FROM order_items" in each[0]]
        plan = await plan_of(database, *summary)
        print(*plan, sep="\n")
        used = [step[5] if backend.name == "mariadb" else step[-1] for step in plan]
        assert not [each for each in used if "ix_order_items_product_id" in str(each)]
