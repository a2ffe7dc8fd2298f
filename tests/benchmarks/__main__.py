"""How fast the shop is, against three others on the same machine in the same run: `python -m tests.benchmarks --help`.

- textbook: the shop as tutorials write it
- before: this shop at the last commit before its paths were made fast
- floor: SQL and JSON by hand, and nothing else

All serve the same rows to the same requests, each from a database of its own on one server. In each round every server
takes every path in turn, so that all meet the same machine; what is printed is the median of the rounds. CPU is what
the operating system counts for the server's processes, and beside it for the database's.
"""

import argparse
import os
import platform
import signal
import sys
from asyncio import TaskGroup, timeout
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path as File
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import httpx
import uvloop

from tests.benchmarks import rows as made
from tests.benchmarks.connection import Connection
from tests.benchmarks.paths import PATHS, Path, World
from tests.benchmarks.server import CONNECTIONS, PLAIN, QUIET, Server, code_before, database_cpu
from tests.databases import BACKENDS, Backend, Unavailable
from tests.faults.service import PROCFILE, web_command
from tests.support import ROOT

LATEST = 30
"""Seconds after a turn in which all answers have to be there."""

CHANGES = 6_000
"""Orders that a second of all paths takes, each of which changes an order once: twice what the shop does on a machine
that is fast."""


@dataclass(frozen=True)
class Turn:
    """What came of one path on one server in one round: answers a second, and CPU seconds of one answer."""

    rate: float
    cpu: float
    database_cpu: float


@dataclass
class Candidate:
    """A server that takes part."""

    name: str
    server: Server
    world: World
    turns: dict[str, list[Turn]]

    def rate(self, path: Path) -> float | None:
        return median(turn.rate for turn in self.turns[path.name]) if path.name in self.turns else None


async def take_turn(candidate: Candidate, path: Path, seconds: float) -> Turn:
    """Ask until the time is up, or until no order is left to change.

    Raises:
        AssertionError: A path is answered with another status, or the turns before have changed all orders.
    """
    connections = [await Connection.open(candidate.server.port) for _ in range(CONNECTIONS)]
    answers = 0

    async def ask(connection: Connection) -> None:
        nonlocal answers
        while perf_counter() < deadline:
            try:
                request = path.new_request(candidate.world)
            except StopIteration:
                return
            status = await connection.send(request)
            if status != path.status:
                raise AssertionError(f"{candidate.name}: {path.name} is answered with {status}")
            answers += 1

    cpu, of_database = candidate.server.cpu(), database_cpu()
    began = perf_counter()
    deadline = began + seconds
    async with timeout(seconds + LATEST), TaskGroup() as group:
        for connection in connections:
            group.create_task(ask(connection))
    rate = answers / (perf_counter() - began)
    assert answers, f"{candidate.name}: no order is left for {path.name}: raise CHANGES"
    for connection in connections:
        connection.close()
    return Turn(rate, (candidate.server.cpu() - cpu) / answers, (database_cpu() - of_database) / answers)


def cursors_of(server: Server) -> list[str]:
    """The cursors of a whole list, from the server that made them."""
    with httpx.Client(base_url=server.url) as client:
        found = [""]
        while following := client.get("/products", params={"page_size": 100, "cursor": found[-1]}).json()[
            "next_cursor"
        ]:
            found.append(following)
            if len(found) == 100:
                break
    return found


def takes_part(name: str, options: argparse.Namespace) -> bool:
    return not options.servers or name in options.servers


@contextmanager
def candidates(backend: Backend, options: argparse.Namespace) -> Iterator[list[Candidate]]:
    """All servers, started on databases of their own."""
    with ExitStack() as stack:
        folder = File(stack.enter_context(TemporaryDirectory(prefix="shop-benchmark-")))
        before = code_before(folder / "code-before") if takes_part("before", options) else None
        commands = {"shop": (f"{PROCFILE} {QUIET}", ROOT)}
        if before:
            commands["before"] = (f"{web_command(before)} {QUIET}", before)
        if backend.name == "postgresql":
            commands |= {name: (PLAIN.format(name), ROOT) for name in ("textbook", "floor")}
        found = []
        to_change = ceil(CHANGES * (options.warm_up + options.rounds * options.seconds))
        data = made.make_rows(options.products, to_change)
        for name, (command, code) in commands.items():
            if not takes_part(name, options):
                continue
            url = stack.enter_context(backend.new_database())
            home = folder / name
            home.mkdir()
            server = Server(url, home, 1, command, code)
            server.fill(options.products, to_change)
            server.start()
            stack.callback(server.stop)
            server.wait_until_ready()
            found.append(Candidate(name, server, World(data, cursors_of(server)), {}))
        yield found


def measure(backend: Backend, options: argparse.Namespace) -> list[Candidate]:
    paths = [path for path in PATHS if not options.paths or any(each in path.name for each in options.paths)]

    async def run(found: list[Candidate]) -> None:
        for each in found:
            for path in paths:
                if _has(each, path):
                    await take_turn(each, path, options.warm_up)
        for number in range(options.rounds):
            for path in paths:
                for each in found:
                    if _has(each, path):
                        each.turns.setdefault(path.name, []).append(await take_turn(each, path, options.seconds))
            print(f"  round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)

    with candidates(backend, options) as found:
        uvloop.run(run(found))
    return found


def _has(candidate: Candidate, path: Path) -> bool:
    """The floor is laid only where a target stands on it."""
    return candidate.name != "floor" or path.of_floor is not None


def report(backend: Backend, found: list[Candidate], options: argparse.Namespace) -> list[str]:
    """The two tables: what each server did, and how the shop stands to the others."""
    by_name = {each.name: each for each in found}
    lines = [
        f"{backend.version}, Python {platform.python_version()}, {os.cpu_count()} cores, one worker, "
        f"{CONNECTIONS} connections, {options.products:,} products; medians of {options.rounds} rounds",
        "",
        f"| requests/s (CPU µs of the server + of the database) | {' | '.join(by_name)} |",
        "|---|" + "---|" * len(by_name),
    ]
    paths = [path for path in PATHS if any(path.name in each.turns for each in found)]
    for path in paths:
        cells = []
        for each in found:
            turns = each.turns.get(path.name)
            if not turns:
                cells.append("–")
                continue
            cpu, database = (median(getattr(turn, which) for turn in turns) for which in ("cpu", "database_cpu"))
            cells.append(f"{each.rate(path):,.0f} ({cpu * 1e6:,.0f} + {database * 1e6:,.0f})")
        lines.append(f"| {path.name} | {' | '.join(cells)} |")
    lines += ["", "| the shop | × textbook | target | of the floor | target | × before |", "|---|---|---|---|---|---|"]
    for path in paths:
        ratios = {
            name: _ratio(by_name.get("shop"), by_name.get(name), path) for name in ("textbook", "floor", "before")
        }
        wanted = f"{path.of_floor}" if path.of_floor else "–"
        lines.append(
            f"| {path.name} | {ratios['textbook']} | {path.times_textbook} | {ratios['floor']} | {wanted} | "
            f"{ratios['before']} |"
        )
    return lines


def _ratio(shop: Candidate | None, other: Candidate | None, path: Path) -> str:
    if shop is None or other is None or not (ours := shop.rate(path)) or not (theirs := other.rate(path)):
        return "–"
    return f"{ours / theirs:.2f}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("databases", nargs="*", choices=[*BACKENDS, "all"], default=["all"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one path of one server in one round (1.5)")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds of each path, before the first round (0.5)")
    parser.add_argument("--products", type=int, default=10_000)
    parser.add_argument("--paths", nargs="*", help="only those whose name has one of these words")
    parser.add_argument("--servers", nargs="*", help="only these: shop, before, textbook, floor")
    parser.add_argument("--into", type=File, help="a file to write the tables to as well")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # or it would leave servers and databases behind
    text: list[str] = []
    for name in BACKENDS if "all" in options.databases else options.databases:
        try:
            with BACKENDS[name]() as backend:
                text += [*report(backend, measure(backend, options), options), ""]
        except Unavailable as reason:
            text += [f"{name}: not measured ({reason})", ""]
    print("\n".join(text))
    if options.into:
        options.into.write_text("\n".join(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
