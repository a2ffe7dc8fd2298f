"""How a command is stopped: by Ctrl-C, and by SIGTERM, which is the usual way to stop a server, and no failure."""

import os
import signal
import sys
from threading import Timer
from types import FrameType
from typing import NoReturn

AGAIN = 0.01
"""Seconds."""


def stop_by_signals() -> None:
    """Have both signals raise an exception, wherever a command is.

    Python drops an exception that is raised while it collects garbage, and the command would go on for ever. Then the
    signal comes once more.
    """
    signal.signal(signal.SIGTERM, _stop)
    sys.unraisablehook = _on_dropped_exception


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _on_dropped_exception(dropped: "sys.UnraisableHookArgs") -> None:
    match dropped.exc_value:
        case SystemExit():
            _send_again(signal.SIGTERM)
        case KeyboardInterrupt():
            _send_again(signal.SIGINT)
        case _:
            sys.__unraisablehook__(dropped)


def _send_again(number: signal.Signals) -> None:
    timer = Timer(AGAIN, os.kill, [os.getpid(), number])
    timer.daemon = True
    timer.start()
