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
ALERTS = 6
NAME = re.compile(r"\bshop_\w+")


def expressions() -> list[str]:
    """Every query of the dashboard and the alerts."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    alerts = re.findall(r"expr:(.*?)\n +for:", (FOLDER / "alerts.yml").read_text(), re.DOTALL)
    assert len(alerts) == ALERTS
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
    assert f"{ALERTS} rules found" in done.stdout


def test_prometheus_reads_every_query_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    queries = [each.replace("$__rate_interval", "5m") for each in expressions()[:-ALERTS]]
    rules = [{"record": f"query:number_{number}", "expr": each} for number, each in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("series", "fires"),
    [
        pytest.param({}, True, id="no process was ever there"),
        pytest.param({"shop_processes{instance='a'}": "2 2 stale"}, True, id="none is there any more"),
        pytest.param({"shop_processes{instance='a'}": "0x10"}, True, id="none is left"),
        pytest.param(
            {"shop_processes{instance='a'}": "stale", "shop_processes{instance='b'}": "1x10"}, False, id="one"
        ),
    ],
)
def test_a_shop_without_a_process_pages_somebody(
    promtool: str, tmp_path: Path, series: dict[str, str], fires: bool
) -> None:
    """All other alerts ask for metrics, which nobody tells then."""
    alert = {"exp_labels": {"severity": "page"}, "exp_annotations": annotations("ShopIsDown")}
    expected = {"eval_time": "6m", "alertname": "ShopIsDown", "exp_alerts": [alert] if fires else []}
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [expected],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(FOLDER / "alerts.yml")], "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def annotations(alert: str) -> dict[str, str]:
    """What an alert without values in its texts says."""
    its = (FOLDER / "alerts.yml").read_text().partition(f"alert: {alert}\n")[2].partition("- alert:")[0]
    return dict(re.findall(r'(summary|description): "(.*)"', its))
