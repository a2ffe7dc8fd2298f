"""How far a long command is, as a bar on the terminal; nothing where the output goes elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

WIDTH = 30
INTERVAL = 0.1
"""Seconds between two drawings."""


class Progress:
    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._is_shown or (now - self._drawn < INTERVAL and done < total):
            return
        self._drawn = now
        share = min(1.0, done / total) if total else 1.0
        bar = "#" * round(share * WIDTH)
        self._write(f"\r{what:9} [{bar:{WIDTH}}] {share:4.0%}")

    def clear(self) -> None:
        """Take the bar away, so that a line can be written in its place."""
        if self._is_shown and self._drawn:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
