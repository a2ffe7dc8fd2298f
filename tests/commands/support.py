"""Processes of the command line, and what they wrote."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import make_url

from tests.databases import ask


def serve_nothing(environment: pytest.MonkeyPatch) -> None:
    """Have a server end as soon as it has started."""
    environment.setattr("uvicorn.Server", lambda config: SimpleNamespace(started=True, run=lambda sockets: None))


def count(url: str, table: str, where: str = "1 = 1") -> int:
    """The number of rows in a table."""
    return int(ask(make_url(url), f"SELECT count(*) FROM {table} WHERE {where}"))


@contextmanager
def running(*command: str, cwd: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A process of Python, with its standard error in its output. Its whole process group is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process: "subprocess.Popen[str]", sent: signal.Signals) -> tuple[int, str]:
    """Stop a process by a signal, and return its exit code and the rest of its output."""
    process.send_signal(sent)
    output, _ = process.communicate(timeout=30)
    return process.returncode, output


def read_until(process: "subprocess.Popen[str]", pattern: str) -> tuple[str, str]:
    """Read the output up to the line with a pattern; return the output and the pattern's first group."""
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if found := re.search(pattern, line):
            return output, found[1]
    raise AssertionError(f"{pattern} is not in the output:\n{output}")
