"""What the rest of the shop calls to have something counted. Where metrics are off, that does nothing.

The files of `prometheus_client` are shared by all processes of the service, so that nothing that was counted is lost
with a process that is killed: see `slots.py`.
"""

import logging
import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import values

from api.settings import Settings
from api.telemetry.exposition import check_port, listen
from api.telemetry.instruments import Cause, Instruments
from api.telemetry.slots import Slot

logger = logging.getLogger(__name__)

STATUS_CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

STATM = Path("/proc/self/statm")
"""Linux: the second number is the resident memory, in pages."""


class Metrics:
    """Counts, where `start` was called."""

    def __init__(self) -> None:
        self.instruments: Instruments | None = None
        self.in_progress = 0
        self._observers: dict[tuple[str, str, int], Any] = {}
        self._cpu = 0.0

    def start(self, settings: Settings) -> None:
        """Once in a process. A port that is taken is no reason not to serve the shop."""
        port, host = settings.metrics_port, settings.metrics_host
        if port is None or self.instruments is not None:
            return
        try:
            slot = Slot(port, partial(check_port, host, port))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(slot.folder)  # where the library looks for it
            values.ValueClass = values.MultiProcessValue(lambda: slot.number)
            listen(slot, host, port)
        except OSError as error:
            logger.warning("there are no metrics on port %s: %s", port, error.strerror or error)
            return
        self.instruments = Instruments()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        if self.instruments is None:
            return
        key = (method if method in METHODS else "other", route, status // 100 if status < 600 else 0)
        observer = self._observers.get(key)
        if observer is None:
            labels = (key[0], route, STATUS_CLASSES[key[2]])
            observer = self._observers[key] = self.instruments.requests.labels(*labels)
        observer.observe(seconds)

    def run_again(self, cause: Cause) -> None:
        if self.instruments is not None:
            self.instruments.retries.labels(cause).inc()

    def refused(self, cause: Cause) -> None:
        """A 503."""
        if self.instruments is not None:
            self.instruments.unavailable.labels(cause).inc()

    def may_fail(self, names: Iterable[str]) -> None:
        """Jobs and duties by their names: a counter that appears with its first count has not risen to Prometheus."""
        if self.instruments is not None:
            for name in names:
                self.instruments.failures.labels(name)

    def failed(self, name: str) -> None:
        """A job, or a duty of the worker."""
        if self.instruments is not None:
            self.instruments.failures.labels(name).inc()

    def committed(self, events: Iterable[tuple[str, str | None]]) -> None:
        """Events by their types, each with its amount where it has one."""
        if self.instruments is None:
            return
        money = {"payment.received": self.instruments.payments, "payment.refunded": self.instruments.refunds}
        for happened, amount in events:
            self.instruments.events.labels(happened).inc()
            if amount is not None and happened in money:
                money[happened].inc(float(amount))

    def note_process(self, lag: float) -> None:
        """What the process uses, and by how many seconds its event loop was late."""
        if self.instruments is None:
            return
        cpu = time.process_time()
        self.instruments.cpu.inc(cpu - self._cpu)
        self._cpu = cpu
        self.instruments.processes.set(1)
        self.instruments.lag.set(lag)
        self.instruments.requests_in_progress.set(self.in_progress)
        if STATM.exists():
            pages = int(STATM.read_text().split()[1])
            self.instruments.memory.set(pages * os.sysconf("SC_PAGESIZE"))


metrics = Metrics()
"""Of this process."""
