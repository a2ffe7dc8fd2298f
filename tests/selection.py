"""Which tests run by default, which only with `--all`, and what the last lines say of each database.

With pytest-xdist the tests run in workers, which report to the controller. With `-n 0` one process does both.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any

import pytest

from tests.databases import BACKENDS

HOSTILE_ON = "postgresql"
"""The database for hostile input by default; `--all` adds the others. PostgreSQL is the strictest: it refuses NUL, lone
surrogates and numbers that do not fit their column, of which MariaDB accepts some and SQLite nearly all."""


KINDS = ("faults", "copies", "fuzz", "large", "clients")
"""Markers of tests that run only with `--all`."""

LONGEST = ("copies", "fuzz", "large", "clients")
"""Those that take a minute or more."""


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("shop")
    group.addoption(
        "--all",
        action="store_true",
        help="also run what takes longest: faults, copies, fuzzing, large tables, clients, hostile input everywhere",
    )
    group.addoption(
        "--database",
        action="append",
        choices=list(BACKENDS),
        metavar="NAME",
        help=f"run on this database alone ({', '.join(BACKENDS)}); may be given more than once",
    )


@dataclass
class Outcome:
    """What one process tested, in types that a worker can send."""

    tested: dict[str, str] = field(default_factory=dict)
    """What the last lines say of each database."""

    left_out: dict[str, int] = field(default_factory=dict)
    """The number of tests of each kind that run only with `--all`."""

    selected: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    """The numbers of tests by database and by kind."""

    def as_sent(self) -> dict[str, dict[str, Any]]:
        return {name: dict(value) for name, value in vars(self).items()}

    def add(self, sent: dict[str, dict[str, Any]]) -> None:
        """Add what a worker sent. Every worker selects the same tests and runs a part of them."""
        for name, said in sent["tested"].items():
            if said not in self.tested.setdefault(name, said):
                self.tested[name] += f"; {said}"
        self.left_out |= sent["left_out"]
        self.selected |= Counter(sent["selected"])
        self.passed += Counter(sent["passed"])

    def lines(self) -> Iterable[str]:
        """The last lines of a run."""
        order = list(BACKENDS)
        names = sorted(self.tested, key=lambda name: (order.index(name) if name in order else len(order), name))
        yield from (f"{name}: {self.tested[name]}" for name in names)
        if self.left_out:
            yield f"left out: {', '.join(f'{n:,} of {what}' for what, n in self.left_out.items())}; --all runs them too"

    def missing(self, *, everything: bool) -> list[str]:
        """What a whole run must have tested and did not."""
        untested = [f"no test passed on {name}" for name in BACKENDS if not self.passed[name]]
        if not everything:
            return untested
        named = [what for what in self.selected if what not in BACKENDS]
        expected = [*KINDS, *(f"hostile input on {name}" for name in BACKENDS)]
        return [
            *untested,
            *(f"there are no tests of {what}" for what in expected if what not in named),
            *(
                f"{self.selected[what] - self.passed[what]} tests of {what} did not pass"
                for what in named
                if self.selected[what] != self.passed[what]
            ),
        ]


OUTCOME = pytest.StashKey[Outcome]()


def database_of(item: pytest.Item) -> str | None:
    """The name of the database that a test runs on."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    name = params.get("backend", params.get("killable"))
    return None if name is None else str(name)


def kind_of(item: pytest.Item) -> str | None:
    """The kind of a test that may run only with `--all`."""
    if item.get_closest_marker("hostile"):
        return f"hostile input on {database_of(item)}"
    return next((name for name in KINDS if item.get_closest_marker(name)), None)


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that were not asked for, and count them."""
    outcome = config.stash[OUTCOME]
    chosen: list[str] = config.getoption("--database") or list(BACKENDS)
    for name in BACKENDS:
        if name not in chosen:
            outcome.tested[name] = "NOT TESTED (--database leaves it out)"
    hostile_on = HOSTILE_ON if HOSTILE_ON in chosen else chosen[0]
    by_default = {None, f"hostile input on {hostile_on}", "hostile input on None"}
    kept, dropped = [], []
    for item in items:
        database, kind = database_of(item), kind_of(item)
        if database is not None and database not in chosen:
            dropped.append(item)
        elif kind not in by_default and not config.getoption("--all"):
            dropped.append(item)
            outcome.left_out[str(kind)] = outcome.left_out.get(str(kind), 0) + 1
        else:
            kept.append(item)
            outcome.selected.update(filter(None, (database, kind)))
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def begin_with_the_longest(items: list[pytest.Item], workers: int) -> None:
    """Put what takes minutes first in each worker's share, so that no worker is left with it in the end.

    Tests that want to be alone come before those, or all would wait until the longest is over. Those of one file on one
    database stay together: they share what takes longest, such as a table that was filled.
    """
    alone = [each for each in items if each.get_closest_marker("alone")]
    long = [each for each in items if each not in alone and kind_of(each) in LONGEST]
    first = {*alone, *long}
    others = [each for each in items if each not in first]
    groups = [list(group) for _, group in groupby(long, lambda each: (each.path, database_of(each)))]
    share = -(-len(others) // workers)
    items[:] = alone
    for worker in range(workers):
        items += chain.from_iterable(groups[worker::workers])
        items += others[worker * share : (worker + 1) * share]


def note(item: pytest.Item, report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        item.config.stash[OUTCOME].passed.update(filter(None, (database_of(item), kind_of(item))))


def judge(session: pytest.Session) -> list[str]:
    """Fail a whole run in CI if a database was not tested or, with `--all`, if any kind of test was not."""
    config = session.config
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        config.getoption("keyword") or config.getoption("markexpr") or config.getoption("collectonly")
    )
    if not whole or not os.environ.get("CI"):
        return []
    missing = config.stash[OUTCOME].missing(everything=config.getoption("--all"))
    if missing and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return missing
