"""The Procfile's web process with some settings, its metrics and its log."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx

from tests.faults.service import PROCFILE, Service, answering
from tests.support import free_port

PATIENCE = 60
"""Seconds for what takes a few, on a busy machine."""

SCRAPES_OF_THE_DYING = 3
"""That may be lost in a row; a process that is alive loses none."""

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)

WITH_WORKER = "python -m api"

COMMANDS = {"the Procfile's": PROCFILE, WITH_WORKER: WITH_WORKER}


class Watched(Service):
    """A service whose settings are given."""

    def __init__(
        self,
        url: str,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        command: str = PROCFILE,
        workers: int = 1,
    ) -> None:
        super().__init__(url, folder, command, workers)
        self.metrics_port = free_port()
        self._environment |= {"METRICS_PORT": str(self.metrics_port), **(settings or {})}

    def scrape(self) -> str:
        """What a process answers. The kernel may hand the request to one that is being killed: then it is sent again,
        as Prometheus comes again."""
        for attempt in range(1 + SCRAPES_OF_THE_DYING):
            try:
                response = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                if attempt == SCRAPES_OF_THE_DYING:
                    raise
                sleep(0.1)
            else:
                break
        assert response.status_code == 200, response.text
        return response.text

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        found = SAMPLE.findall(self.scrape())
        return sum(float(value) for each, its, value in found if each == name and wanted <= set(its.split(",")))

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log that are JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def requests(self) -> list[dict[str, Any]]:
        return [each for each in self.lines() if each["logger"] == "api.access"]


@contextmanager
def watched(service: Watched) -> Iterator[Watched]:
    """The service while it runs."""
    with answering(service):
        yield service


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < end, what
        sleep(0.1)
