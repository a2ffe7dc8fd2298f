"""A signal stops a command wherever it is, also while Python collects garbage."""

import signal
import subprocess
import sys

import pytest

from tests.support import ROOT

INTERRUPTED_COLLECTION = """
import os, signal, time, weakref
from api.commands.signals import stop_by_signals

class Thing: pass

stop_by_signals()
thing = Thing()
reference = weakref.ref(thing, lambda _: (os.kill(os.getpid(), signal.{name}), time.sleep(0.1)))
del thing
print("collected", flush=True)
time.sleep(20)
print("went on")
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 0), ("SIGINT", -signal.SIGINT)])
def test_a_signal_during_a_garbage_collection_is_not_lost(name: str, code: int) -> None:
    script = INTERRUPTED_COLLECTION.format(name=name)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert "went on" not in done.stdout
    assert "Exception ignored" not in done.stderr


def test_other_exceptions_that_python_drops_are_still_told() -> None:
    script = "\n".join(
        (
            "from api.commands.signals import stop_by_signals",
            "class Thing:",
            "    def __del__(self): raise ValueError('lost')",
            "stop_by_signals()",
            "Thing()",
        )
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert "ValueError: lost" in done.stderr
