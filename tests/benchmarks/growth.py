"""What a path costs in a small shop and in a large one: `python -m tests.benchmarks.growth postgresql --rows 1000000`.

For each size a shop is filled as the release before searches were stored left it, and migrated: how long each revision
takes is printed too. Then one client reads each path again and again; what is printed is the median in milliseconds,
and beside it the longest that another client waited for `/health` meanwhile.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

import httpx
from alembic.script import ScriptDirectory

from api.admin.sessions import COOKIE
from api.auth.tokens import new_token
from api.models.base import utcnow
from api.models.product import Product
from api.models.token import TokenKind
from api.models.user import User
from api.reads.keyset import keyset
from tests import large_shop
from tests.alembic_support import alembic, put, sql
from tests.benchmarks.server import serving
from tests.databases import BACKENDS, Backend
from tests.support import PASSWORD_HASH, ROOT

SMALL = 10_000
SECONDS = 3.0
"""For one path; each is read five times at least."""

PROOF = 900
"""Seconds at most, to prove the books of the large shop."""

PATHS = {
    "product by id": "/products/77",
    "list, first page": "/products",
    "list, by price": "/products?sort=price",
    "list of a category": "/products?category_id=7",
    "list of a category, by price": "/products?category_id=7&sort=price",
    "list in a range of prices": "/products?min_price=2&max_price=3",
    "list of a category in a range of prices": "/products?category_id=7&min_price=2&max_price=3",
    "list of what is in stock": "/products?in_stock=true",
    "a category's products": "/categories/7/products",
    "list, last page": "/products?page={last}",
    "list, first part by cursor": "/products?cursor=",
    "list, part in the middle by cursor": "/products?cursor={middle}",
    "search, one row": "/products?search=model {needle},",
    "search, 100 rows": "/products?search=p-{hundred}",
    "search by cursor, one row": "/products?search=model {needle},&cursor=",
    "search, two letters": "/products?search=ty",
    "search, one letter": "/products?search=q",
    "search, half of the rows and more": "/products?search=charge",
    "own orders": "/orders?",
    "all orders": "/orders? as staff",
    "orders of a status": "/orders?status=pending as staff",
    "notifications": "/notifications",
    "low stock": "/products/low-stock as staff",
    "statistics by category": "/products/stats/by-category",
    "order summary": "/orders/stats/summary as staff",
    "top spenders": "/users/stats/top-spenders as staff",
    "admin: dashboard": "/admin as admin",
    "admin: products": "/admin/products as admin",
    "admin: products, by price": "/admin/products?sort=price as admin",
    "admin: products of a category": "/admin/products?category_id=7 as admin",
    "admin: search, one row": "/admin/products?search=model {needle}, as admin",
    "admin: search, half of the rows and more": "/admin/products?search=charge as admin",
    "admin: product": "/admin/products/77 as admin",
    "admin: form of a product": "/admin/products/77/edit as admin",
    "admin: orders": "/admin/orders as admin",
    "admin: orders of a status": "/admin/orders?status=pending as admin",
    "admin: orders of a day": "/admin/orders?from={yesterday}&to={yesterday} as admin",
    "admin: order": "/admin/orders/77 as admin",
    "admin: stock movements": "/admin/stock-movements as admin",
    "admin: audit trail": "/admin/audit-entries as admin",
}


class Waits:
    """How long `/health` takes, asked all the time by another thread."""

    def __init__(self, url: str) -> None:
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(url,))

    def _ask(self, url: str) -> None:
        with httpx.Client(base_url=url) as client:
            while not self._stop.wait(0.01):
                began = perf_counter()
                client.get("/health")
                self.longest = max(self.longest, perf_counter() - began)

    def __enter__(self) -> "Waits":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def migrate(url: str, rows: int) -> None:
    """Fill a shop and migrate it, and print how long each revision takes."""
    alembic(url, "upgrade", large_shop.BEFORE_SEARCHES)
    large_shop.fill(url, rows)
    revisions = [each.revision for each in ScriptDirectory(ROOT / "migrations").walk_revisions()][::-1]
    for revision in revisions[revisions.index(large_shop.BEFORE_SEARCHES) + 1 :]:
        began = perf_counter()
        alembic(url, "upgrade", revision)
        print(f"  {rows:,} rows: revision {revision} took {perf_counter() - began:.1f} s", file=sys.stderr, flush=True)


def gather_statistics(backend: Backend, url: str) -> None:
    """As the database's own housekeeping would, in a minute; SQLite has none."""
    if backend.name == "postgresql":
        sql(url, "VACUUM ANALYZE")
    elif backend.name == "mariadb":
        sql(url, *(f"ANALYZE TABLE {name}" for name in large_shop.TABLES))


def sign_in(url: str) -> dict[str, dict[str, str]]:
    """The headers of a customer, and of staff."""
    staff = User(username="boss", email="boss@example.com", hashed_password=PASSWORD_HASH, is_superuser=True)
    put(url, staff)
    headers = {}
    for name in ("user7", "boss"):
        user = User(
            hashed_password="",
            id=sql(url, f"SELECT id FROM users WHERE username = '{name}'")[0][0],
            username=name,
            email="",
        )
        secret, token = new_token(user, TokenKind.SESSION, "Benchmark", timedelta(days=1))
        put(url, token)
        headers[name] = {"Authorization": f"Bearer {secret}"}
    cookie = headers["boss"]["Authorization"].replace("Bearer ", f"{COOKIE}=")
    return {"": headers["user7"], "staff": headers["boss"], "admin": {"Cookie": cookie}}


@contextmanager
def shop(backend: Backend, rows: int) -> Iterator[tuple[httpx.Client, dict[str, dict[str, str]], float]]:
    """A shop of a size, and how long it takes to prove its books."""
    with backend.new_database() as url, TemporaryDirectory(prefix="shop-growth-") as folder:
        migrate(url, rows)
        gather_statistics(backend, url)
        headers = sign_in(url)
        with serving(url, 1, Path(folder)) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            sleep(1)
            began = perf_counter()
            proof = server.run(sys.executable, "-m", "api", "verify", seconds=PROOF)
            assert proof.returncode == 0, proof.stdout
            yield client, headers, perf_counter() - began


def time_of(client: httpx.Client, path: str, headers: dict[str, str]) -> tuple[float, float]:
    """The median, and the longest wait of another request, in milliseconds."""
    client.get(path, headers=headers).raise_for_status()
    times: list[float] = []
    with Waits(str(client.base_url)) as waits:
        deadline = perf_counter() + SECONDS
        while len(times) < 5 or (perf_counter() < deadline and len(times) < 200):
            began = perf_counter()
            client.get(path, headers=headers)
            times.append(perf_counter() - began)
    return median(times) * 1_000, waits.longest * 1_000


def measure(backend: Backend, rows: int) -> dict[str, tuple[float, float]]:
    places: dict[str, int | str] = {"last": rows * 19 // 20 // 20, "needle": 55_433, "hundred": rows // 10_000 * 10 + 7}
    places["yesterday"] = f"{utcnow() - timedelta(days=1):%Y-%m-%d}"
    with shop(backend, rows) as (client, headers, verify_seconds):
        middle = client.get("/products", params={"page": 25_000 * rows // 1_000_000, "page_size": 20}).json()["items"]
        places["middle"] = cursor_at(middle[-1]["id"])
        found = {}
        for name, template in PATHS.items():
            path, _, who = template.format(**places).partition(" as ")
            found[name] = time_of(client, path, headers[who])
        found["verify"] = (verify_seconds * 1_000, 0.0)
    return found


def cursor_at(row_id: int) -> str:
    """The cursor of the default order, at a row."""
    return keyset(Product, "-id").cursor_at({"id": row_id})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("database", choices=BACKENDS)
    parser.add_argument("--rows", type=int, default=1_000_000, help="products, and orders, of the large shop")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with BACKENDS[options.database]() as backend:
        small, large = (measure(backend, rows) for rows in (SMALL, options.rows))
        print(f"{backend.version}: ms, in a shop of {SMALL:,} and of {options.rows:,} products and orders\n")
    print("| path | small | large | ratio | longest wait of another request |\n|---|---|---|---|---|")
    for name, (before, _) in small.items():
        after, wait = large[name]
        print(f"| {name} | {before:.1f} | {after:.1f} | {after / before:.2f} | {wait:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
