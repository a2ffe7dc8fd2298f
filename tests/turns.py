"""Tests marked `alone` have the machine to themselves, also where others run in workers beside them.

They measure how long a service takes to answer while parts of it are killed, on the cores that all workers share.
"""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(run: str, *, alone: bool) -> Iterator[None]:
    """Wait for whoever is alone in this run of the tests, and with `alone` until nobody else is at work.

    Whoever comes in goes through the gate. One that wants to be alone stands in it until it is, or others would slip
    past it for ever.
    """
    folder = Path(tempfile.gettempdir())
    with (folder / f"shop-gate-{run}.lock").open("w") as gate, (folder / f"shop-work-{run}.lock").open("w") as work:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(work, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def forget(run: str | None) -> None:
    """Remove the files, when all workers are down."""
    for name in ("gate", "work"):
        Path(tempfile.gettempdir(), f"shop-{name}-{run}.lock").unlink(missing_ok=True)
