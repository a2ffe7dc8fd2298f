"""The dashboard and the alerts: what they ask for is there, and Prometheus understands them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support import ROOT
from tests.telemetry.support import SAMPLE, WITH_WORKER, Watched, wait_until, watched

FOLDER = ROOT / ".github/observability"
NAME = re.compile(r"\bshop_\w+")


def expressions() -> list[str]:
    """Every query of the dashboard and the alerts."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    alerts = re.findall(r"expr:(.*?)\n +for:", (FOLDER / "alerts.yml").read_text(), re.DOTALL)
    assert len(alerts) == 5
    return shown + alerts


@pytest.fixture
def promtool() -> str:
    """Of Debian's package prometheus, which CI installs."""
    found = shutil.which("promtool")
    if found is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("promtool is not installed")
    return str(found)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_every_metric_of_the_dashboard_and_the_alerts_is_in_a_scrape(migrated: str, tmp_path: Path) -> None:
    asked = {name for each in expressions() for name in NAME.findall(each)}
    with watched(Watched(migrated, tmp_path, command=WITH_WORKER)) as service:
        httpx.get(f"{service.url}/products")
        wait_until(lambda: service.value("shop_memory_bytes") > 0, "the process was measured")
        there = {name for name, _, _ in SAMPLE.findall(service.scrape())}
    assert asked - there == set()
    told = {re.sub("_(bucket|sum|count|created)$", "", each) for each in there}
    shown = {re.sub("_(bucket|sum|count)$", "", each) for each in asked}
    assert told - shown == set(), "metrics that nothing shows"


def test_prometheus_reads_the_alerts(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "check", "rules", str(FOLDER / "alerts.yml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "5 rules found" in done.stdout


def test_prometheus_reads_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    queries = [each.replace("$__rate_interval", "5m") for each in expressions()[:-5]]
    rules = [{"record": f"query:number_{number}", "expr": each} for number, each in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
