"""How many orders a second the shop takes: `python -m tests.benchmarks.orders --help`.

On each database: one product that everybody wants ("hot"), and three out of a thousand ("cold"). They take turns, so
that both meet the same machine, and the slowest and the fastest turn tell how noisy that was. Beside them stands what
the disk alone allows: single INSERTs on one connection, each of which is committed. In the end the books are proved,
and there must be as many orders as were acknowledged.

Client, server and database share the machine, so what an order costs the server and the client is shown too.
"""

import argparse
import io
import json
import os
import platform
import random
import signal
import sys
from asyncio import TaskGroup, timeout
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from uuid import uuid4

import uvloop
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text
from sqlmodel import func, select

from api.auth.tokens import new_token
from api.commands import setup
from api.commands.verify import verify
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.order import Order
from api.models.product import Product
from api.models.token import TokenKind
from api.models.user import User
from api.rules.stock import record_initial
from api.settings import Settings
from tests.benchmarks.connection import Connection
from tests.benchmarks.server import Server, serving
from tests.databases import BACKENDS, Backend, Unavailable
from tests.support import PASSWORD_HASH, save

TURNS = 5
CUSTOMERS = 100
COLD_PRODUCTS = 1_000
COLD_LINES = 3
STOCK = 1_000_000
WARM_UP = 1.0
COMMITTING = 0.3
"""Seconds of one turn."""

LATEST = 30
"""Seconds after a turn in which all answers have to be there: the shop promises each within ten."""


@dataclass
class Shop:
    """What there is to order, and who does: a token for each customer."""

    hot: int
    cold: list[int]
    tokens: list[str]

    def hot_order(self) -> bytes:
        return self._request([self.hot])

    def cold_order(self) -> bytes:
        return self._request(random.sample(self.cold, COLD_LINES))

    def _request(self, products: list[int]) -> bytes:
        """An order of one unit of each, head and body."""
        items = [{"product_id": product, "quantity": 1} for product in products]
        body = json.dumps({"items": items, "shipping_address": "1 Abbey Road, London"})
        return (
            "POST /orders HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {random.choice(self.tokens)}\r\nIdempotency-Key: {uuid4()}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


@dataclass
class Result:
    """What came of one kind of order, over all turns. Times are in seconds."""

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    run_again: int = 0
    server_cpu: float = 0
    client_cpu: float = 0

    @property
    def rate(self) -> float:
        return sum(self.rates) / len(self.rates)


async def open_shop(database: Database) -> Shop:
    async with database.transaction() as session:
        users = [
            User(username=f"customer_{n}", email=f"customer_{n}@example.com", hashed_password=PASSWORD_HASH)
            for n in range(CUSTOMERS)
        ]
        products = [
            Product(name=f"Product {n}", slug=f"product-{n}", sku=f"P-{n}", price=Decimal(9 + n), stock_quantity=STOCK)
            for n in range(1 + COLD_PRODUCTS)
        ]
        await save(session, *users, *products)
        await record_initial(session, products, users[0].id)
        tokens = [new_token(user, TokenKind.SESSION, "Benchmark", timedelta(days=1)) for user in users]
        for _, token in tokens:
            token.last_used_at = utcnow()  # so that no request has to note its use
        await save(session, *(token for _, token in tokens))
    hot, *cold = [product.id for product in products]
    return Shop(hot, cold, [secret for secret, _ in tokens])


async def take_turn(server: Server, clients: int, seconds: float, new_order: Callable[[], bytes], into: Result) -> None:
    """Order until the time is up; what is on its way then is still waited for."""
    connections = [await Connection.open(server.port) for _ in range(clients)]
    latencies: list[float] = []
    statuses: Counter[int] = Counter()

    async def order(connection: Connection) -> None:
        while (sent := perf_counter()) < deadline:
            statuses[await connection.send(new_order())] += 1
            latencies.append(perf_counter() - sent)

    server.news()
    server_cpu, client_cpu = server.cpu(), process_time()
    began = perf_counter()
    deadline = began + seconds
    async with timeout(seconds + LATEST), TaskGroup() as group:
        for connection in connections:
            group.create_task(order(connection))
    into.rates.append(statuses[201] / (perf_counter() - began))
    into.client_cpu += process_time() - client_cpu
    into.server_cpu += server.cpu() - server_cpu
    into.latencies += latencies
    into.statuses += statuses
    into.run_again += server.news().count("run again")
    for connection in connections:
        connection.close()


def commit_for_a_while(connection: SyncConnection) -> float:
    """How many single INSERTs a second are committed, one after the other."""
    done, began = 0, perf_counter()
    while perf_counter() - began < COMMITTING:
        connection.exec_driver_sql("INSERT INTO benchmark VALUES (1)")  # commits by itself: `api/database/engine.py`
        done += 1
    return done / (perf_counter() - began)


async def measure(database: Database, server: Server, options: argparse.Namespace) -> bool:
    """Take the turns, print what they came to, and say whether the books are right."""
    shop = await open_shop(database)
    before, hot, cold = Result(), Result(), Result()
    commits: list[float] = []
    async with database.engine.connect() as connection:
        await connection.execute(text("CREATE TABLE benchmark (number INTEGER)"))
        for new_order in (shop.hot_order, shop.cold_order):
            await take_turn(server, options.clients, WARM_UP, new_order, before)
        for _ in range(TURNS):
            commits.append(await connection.run_sync(commit_for_a_while))
            await take_turn(server, options.clients, options.seconds / TURNS, shop.hot_order, hot)
            await take_turn(server, options.clients, options.seconds / TURNS, shop.cold_order, cold)
    print_row("1 hot product", hot)
    print_row(f"{COLD_LINES} of {COLD_PRODUCTS:,} cold ones", cold)
    print(f"  hot/cold {hot.rate / cold.rate:.2f}; one connection commits {span(commits)} single INSERTs a second")
    return await is_right(database, sum(each.statuses[201] for each in (before, hot, cold)))


async def is_right(database: Database, acknowledged: int) -> bool:
    with redirect_stdout(io.StringIO()) as report:
        proved = await verify(database)
    async with database.reads() as session:
        orders = (await session.exec(select(func.count()).select_from(Order))).one()
    right = proved and orders == acknowledged
    print(f"  {orders:,} orders, {acknowledged:,} acknowledged; {report.getvalue().splitlines()[-1]}")
    if not right:
        print(report.getvalue(), "THE BOOKS ARE WRONG", sep="")
    return right


def print_heading() -> None:
    print(
        f"{'':24}{'orders/s':>9}{'of turns':>12}{'p50 ms':>8}{'p99':>8}{'worst':>9}{'again':>7}"
        f"{'server ms':>11}{'client ms':>11}  not 201"
    )


def print_row(name: str, result: Result) -> None:
    answers = len(result.latencies)
    latencies = sorted(1_000 * each for each in result.latencies)
    p50, p99, worst = (latencies[int(part * (answers - 1))] for part in (0.5, 0.99, 1))
    not_201 = ", ".join(f"{status}: {number:,}" for status, number in sorted(result.statuses.items()) if status != 201)
    server, client = (1_000 * cpu / answers for cpu in (result.server_cpu, result.client_cpu))
    print(
        f"  {name:22}{result.rate:>9,.0f}{span(result.rates):>12}{p50:>8.1f}{p99:>8.1f}{worst:>9.1f}"
        f"{result.run_again:>7,}{server:>11.2f}{client:>11.2f}  {not_201 or 'none'}"
    )


def span(rates: list[float]) -> str:
    """The slowest and the fastest."""
    return f"{min(rates):,.0f}-{max(rates):,.0f}"


def run_on(backend: Backend, options: argparse.Namespace) -> bool:
    print(f"\n{backend.version}", flush=True)
    with backend.new_database() as url, TemporaryDirectory(prefix="shop-benchmark-") as folder:
        settings = Settings(_env_file=None, database_url=url)
        setup.migrate(settings)
        with serving(url, options.workers, Path(folder)) as server:

            async def run() -> bool:
                database = Database(settings)
                try:
                    return await measure(database, server, options)
                finally:
                    await database.close()

            return uvloop.run(run())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.orders", description=__doc__.partition("\n")[0])
    parser.add_argument("databases", nargs="*", choices=[*BACKENDS, "all"], default="all")
    parser.add_argument("--seconds", type=float, default=10, help="for hot and for cold orders each (10)")
    parser.add_argument("--clients", type=int, default=16, help="connections that order at once (16)")
    parser.add_argument("--workers", type=int, default=1, help="processes that serve (1)")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or it would leave a server and a database behind
    print(
        f"clients: {options.clients}, of {CUSTOMERS} customers; workers: {options.workers}; "
        f"processors: {os.cpu_count()}; Python {platform.python_version()}\n"
        f"{TURNS} turns of {options.seconds / TURNS:g} s of hot and of cold orders, each with its own Idempotency-Key\n"
        "again: transactions run again after a deadlock; server, client: CPU time per order, the database's left out\n"
    )
    print_heading()
    right = True
    for name in BACKENDS if "all" in options.databases else options.databases:
        try:
            with BACKENDS[name]() as backend:
                right &= run_on(backend, options)
        except Unavailable as reason:
            print(f"\n{name}: not measured ({reason})")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
