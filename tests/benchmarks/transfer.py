"""How fast files go in and out, and how much memory that takes: `python -m tests.benchmarks.transfer sqlite`.

Each step is a process of its own, `python -m api import` or `export`, whose peak of memory the system tells. The time
is that of the whole process, with the two seconds in which it starts; the CPU's is told too, because a busy machine
changes it less.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from api.commands.setup import migrate
from api.settings import Settings
from tests.databases import BACKENDS
from tests.support import ROOT

SIZES = (1_000, 10_000, 100_000)


class Step(NamedTuple):
    name: str
    arguments: tuple[str, ...]


class Cost(NamedTuple):
    seconds: float
    cpu: float
    megabytes: float


def write_products(file: Path, count: int, price: str) -> None:
    with file.open("w") as rows:
        rows.write("sku,name,description,price,stock_quantity,category,attributes\n")
        text, attributes = "Over-ear, thirty hours a charge. " * 3, '"{""colour"": ""black"", ""wireless"": true}"'
        for number in range(count):
            shelf = ("electronics", "books", "clothing")[number % 3]
            rows.write(f'B-{number},Product {number},"{text}",{price},{number % 50},{shelf},{attributes}\n')


def steps(folder: Path, count: int) -> Iterator[Step]:
    new, changed, out = (str(folder / name) for name in ("new.csv", "changed.csv", "out.csv"))
    write_products(Path(new), count, "9.99")
    write_products(Path(changed), count, "10.99")
    yield Step("check", ("import", "products", new, "--dry-run"))
    yield Step("add", ("import", "products", new))
    yield Step("unchanged", ("import", "products", new))
    yield Step("change", ("import", "products", changed))
    yield Step("export csv", ("export", "products", out))
    yield Step("export jsonl", ("export", "products", str(folder / "out.jsonl")))


def cost(arguments: tuple[str, ...], url: str, folder: Path) -> Cost:
    """Run one command; of each child the system tells the time and the peak of its memory."""
    environment = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    silent = os.open(os.devnull, os.O_WRONLY)
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "api", *arguments],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, silent, 1)],
    )
    _, status, used = os.wait4(process, 0)
    os.close(silent)
    if status:
        raise SystemExit(f"{arguments} failed")
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, _megabytes(used))


def _megabytes(used: "resource.struct_rusage") -> float:
    return used.ru_maxrss / 1_024


def main() -> None:
    sizes = [int(each) for each in sys.argv[2:]] or SIZES
    for name in sys.argv[1:2] or BACKENDS:
        with BACKENDS[name]() as backend:
            for count in sizes:
                with backend.new_database() as url, tempfile.TemporaryDirectory() as folder:
                    migrate(Settings(_env_file=None, database_url=url))
                    for step in steps(Path(folder), count):
                        spent = cost(step.arguments, url, Path(folder))
                        figures = f"{spent.seconds:7.1f} s {spent.cpu:7.1f} s of CPU {spent.megabytes:5.0f} MB"
                        print(f"{name:10} {count:>8,} rows  {step.name:13} {figures}", flush=True)


if __name__ == "__main__":
    main()
