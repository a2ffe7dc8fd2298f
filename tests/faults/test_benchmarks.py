"""The benchmarks run. What they print is looked at by nobody here: a figure of a busy machine says nothing."""

import subprocess
import sys

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.faults

SERVERS = {"postgresql": ["shop", "textbook", "floor"], "sqlite": ["shop"], "mariadb": ["shop"]}


@pytest.mark.parametrize("name", SERVERS)
def test_the_comparison_runs_and_says_what_each_server_did(name: str) -> None:
    small = ["--rounds", "1", "--seconds", "0.1", "--warm-up", "0.1", "--products", "200"]
    command = [sys.executable, "-m", "tests.benchmarks", name, *small, "--servers", *SERVERS[name]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)

    assert done.returncode == 0, done.stderr
    assert "not measured" not in done.stdout
    heading = next(line for line in done.stdout.splitlines() if line.startswith("| requests/s"))
    assert [each.strip() for each in heading.split("|")[2:-1]] == SERVERS[name]
    assert "| place an order | " in done.stdout
