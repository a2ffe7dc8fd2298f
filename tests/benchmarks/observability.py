"""What logs and metrics cost on the hot paths: `python -m tests.benchmarks.observability --help`.

The shop with everything on (a JSON line for each request, metrics, and a `traceparent` in each request) against the
shop with all of it off, on databases of one server with the same rows. They take turns in short rounds, so that both
meet the same machine. What counts is the CPU time of a request, as the operating system counts it.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path as File
from statistics import median
from tempfile import TemporaryDirectory

import httpx
import uvloop

from tests.benchmarks import rows as made
from tests.benchmarks.__main__ import Candidate, take_turn
from tests.benchmarks.paths import PATHS, Path, World
from tests.benchmarks.server import Server
from tests.databases import BACKENDS, Backend
from tests.support import free_port

HOT = ("product by id", "place an order")
TRACED = b"\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"
TO_CHANGE = 100
WARM_UP = 1.0


def traced(path: Path) -> Path:
    """The same requests, each as a part of a trace."""
    return replace(path, new_request=lambda world: path.new_request(world).replace(b"\r\n\r\n", TRACED, 1))


@contextmanager
def candidates(backend: Backend, options: argparse.Namespace) -> Iterator[dict[str, Candidate]]:
    metrics = {"METRICS_PORT": str(free_port())}
    kinds = {
        "off": {},
        "log": {"ACCESS_LOG": "true", "LOG_FORMAT": "json"},
        "metrics": metrics,
        "on": {"ACCESS_LOG": "true", "LOG_FORMAT": "json", "METRICS_PORT": str(free_port())},
    }
    data = made.make_rows(options.products, TO_CHANGE)
    with ExitStack() as stack:
        folder = File(stack.enter_context(TemporaryDirectory(prefix="shop-benchmark-")))
        found = {}
        for name in options.kinds:
            url = stack.enter_context(backend.new_database())
            home = folder / name
            home.mkdir()
            server = Server(url, home, 1, environment=kinds[name])
            server.fill(options.products, TO_CHANGE)
            server.start()
            stack.callback(server.stop)
            server.wait_until_ready()
            if port := kinds[name].get("METRICS_PORT"):
                assert "shop_request_seconds" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
            found[name] = Candidate(name, server, World(data, []), {})
        yield found


async def measure(found: dict[str, Candidate], options: argparse.Namespace) -> None:
    paths = [path for path in PATHS if path.name in HOT]
    for path in paths:
        for each in found.values():
            await take_turn(each, path, WARM_UP)
    for number in range(options.rounds):
        for path in paths:
            turns = list(found.items())
            for name, each in turns if number % 2 else reversed(turns):
                turn = await take_turn(each, traced(path) if name in ("on", "log") else path, options.seconds)
                each.turns.setdefault(path.name, []).append(turn)


def report(found: dict[str, Candidate]) -> list[str]:
    lines = []
    off = found["off"].turns
    for path in HOT:
        for name, each in found.items():
            cpu = median(turn.cpu for turn in each.turns[path])
            ratio = median(a.cpu / b.cpu for a, b in zip(each.turns[path], off[path], strict=True))
            lines.append(f"{path:16} {name:8} {cpu * 1e6:8,.0f} µs CPU  {ratio:5.3f} × off")
    return lines


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.observability", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("database", nargs="?", choices=list(BACKENDS), default="postgresql")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.7, help="of one path of one server in one round (0.7)")
    parser.add_argument("--products", type=int, default=1_000)
    parser.add_argument("--kinds", nargs="+", default=["off", "on"], help="of off, log, metrics, on")
    options = parser.parse_args(arguments)
    with BACKENDS[options.database]() as backend, candidates(backend, options) as found:
        uvloop.run(measure(found, options))
        print("\n".join([backend.version, *report(found)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
