"""Metrics: each process answers for all, and what was counted outlives the process that counted it."""

import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import sleep

import httpx
import pytest

from tests.telemetry.support import Watched, wait_until, watched

NEWCOMER = {"username": "anna", "email": "anna@example.com", "password": "SecurePass123"}


def ask(service: Watched, path: str, times: int = 1) -> None:
    for _ in range(times):
        httpx.get(service.url + path, timeout=30)


class TestMetrics:
    def test_requests_are_counted_by_their_routes_and_unknown_paths_are_one(
        self, migrated: str, tmp_path: Path
    ) -> None:
        with watched(Watched(migrated, tmp_path)) as service:
            for product in range(1, 6):
                ask(service, f"/products/{product}")
                ask(service, f"/nothing/{product}")
            httpx.head(f"{service.url}/products")
            httpx.request("PROPFIND", f"{service.url}/products")

            assert service.value("shop_request_seconds_count", method="GET", route="/products/{id}", status="4xx") == 5
            assert service.value("shop_request_seconds_count", route="unknown", method="GET") == 5
            assert service.value("shop_request_seconds_count", method="HEAD", route="/products", status="2xx") == 1
            assert service.value("shop_request_seconds_count", method="other") == 1
            assert "nothing" not in service.scrape()

    def test_what_was_committed_is_counted_once_with_its_money(self, migrated: str, tmp_path: Path) -> None:
        with watched(Watched(migrated, tmp_path)) as service:
            for _ in range(2):  # the second one is refused
                httpx.post(f"{service.url}/users", json=NEWCOMER, timeout=30)
            assert service.value("shop_events_total", type="user.registered") == 1
            assert service.value("shop_events_total", type="order.placed") == 0
            wait_until(lambda: service.value("shop_backlog_rows", queue="events") == 1, "one event has no place")
            placed = subprocess.Popen([sys.executable, "-m", "api", "worker"], cwd=tmp_path, env=service.environment)
            try:
                wait_until(lambda: service.value("shop_backlog_rows", queue="events") == 0, "the event has its place")
                wait_until(lambda: service.value("shop_processes") == 2, "the worker is one of the processes")
            finally:
                placed.send_signal(signal.SIGTERM)
                placed.wait(30)
            wait_until(lambda: service.value("shop_processes") == 1, "the worker has gone, and its gauges with it")

    def test_without_a_port_there_is_no_metric(self, migrated: str, tmp_path: Path) -> None:
        service = Watched(migrated, tmp_path, {"METRICS_PORT": ""})
        with watched(service), pytest.raises(httpx.ConnectError):
            service.scrape()

    def test_a_port_that_is_taken_is_one_line_and_the_shop_serves(self, migrated: str, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            with watched(Watched(migrated, tmp_path, {"METRICS_PORT": port})) as service:
                (line,) = [each for each in service.log.read_text().splitlines() if "no metrics" in each]
                assert f"there are no metrics on port {port}: another service has it" in line
                assert "Traceback" not in service.log.read_text()

    def test_a_process_with_another_temporary_folder_answers_for_nobody(self, migrated: str, tmp_path: Path) -> None:
        """The kernel would hand it some of the scrapes, and it knows nothing of the others."""
        for name in ("web", "worker", "tmp"):
            (tmp_path / name).mkdir()
        with watched(Watched(migrated, tmp_path / "web")) as service:
            ask(service, "/products/1", times=5)
            elsewhere = {"METRICS_PORT": str(service.metrics_port), "TMPDIR": str(tmp_path / "tmp")}
            with watched(Watched(migrated, tmp_path / "worker", elsewhere)) as other:
                (line,) = [each for each in other.log.read_text().splitlines() if "no metrics" in each]
                assert "or the shop with another TMPDIR" in line
                counts = {service.value("shop_request_seconds_count", route="/products/{id}") for _ in range(12)}
                assert counts == {5}

    def test_a_port_is_had_again_at_once_after_a_restart(self, migrated: str, tmp_path: Path) -> None:
        with watched(Watched(migrated, tmp_path)) as service:
            service.scrape()
            service.kill()
            service.start()
            service.wait_until_ready()
            assert "no metrics" not in service.log.read_text()
            wait_until(lambda: service.value("shop_processes") == 1, "it answers")


class TestSeveralWorkers:
    """With the processes of uvicorn, one of which is killed."""

    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    def test_each_answers_for_all_and_a_killed_one_takes_nothing_with_it(self, migrated: str, tmp_path: Path) -> None:
        with watched(Watched(migrated, tmp_path, workers=2)) as service:
            wait_until(lambda: service.value("shop_processes") == 2, "both are there")
            ask(service, "/products/1", times=30)
            answers = {service.value("shop_request_seconds_count", route="/products/{id}") for _ in range(12)}
            assert answers == {30}
            assert service.value("shop_pool_connections") == 2 * 8

            service.kill_workers(1)
            for _ in range(20):
                assert service.value("shop_request_seconds_count", route="/products/{id}") == 30
                sleep(0.05)
            wait_until(lambda: service.value("shop_processes") == 2, "another one took its place")
            ask(service, "/products/1", times=5)
            assert service.value("shop_request_seconds_count", route="/products/{id}") == 35
            assert service.value("shop_pool_connections") == 2 * 8

            service.kill()
            service.start()
            service.wait_until_ready()
            assert service.value("shop_request_seconds_count", route="/products/{id}") == 0, "a new start begins anew"
