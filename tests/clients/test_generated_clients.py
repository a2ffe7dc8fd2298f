"""Clients that others generate from the document: strictly typed, and an order placed, paid and cancelled by each.

What is generated, checked and run is in `.ci/clients`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.first_start import first_start
from tests.support import ROOT

pytestmark = pytest.mark.clients

KIT = ROOT / ".ci/clients"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    database = f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"DATABASE_URL": database, "PORT": "0", "PYTHONPATH": str(ROOT), "PATH": path}


@pytest.fixture(scope="module")
def shop(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a running shop, and the password of its first staff user."""
    with first_start(environment, tmp_path_factory.mktemp("served")) as started:
        yield started


@pytest.fixture
def folder(environment: dict[str, str], tmp_path: Path) -> Path:
    """A copy of the kit, with the document."""
    kit = tmp_path / "kit"
    shutil.copytree(KIT, kit)
    (kit / "openapi.json").write_text(run(kit, "python", "-m", "api", "openapi", environment=environment))
    return kit


def run(folder: Path, *command: str, environment: dict[str, str] | None = None) -> str:
    """What a command prints; one that fails or warns fails the test."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    assert "warn" not in (done.stdout + done.stderr).lower(), done.stdout + done.stderr
    return done.stdout


def test_python(folder: Path, shop: tuple[str, str]) -> None:
    tools = Path(sys.executable).parent
    options = "--path openapi.json --config openapi-python-client.yml --meta none --output-path shop --fail-on-warning"
    run(folder, str(tools / "openapi-python-client"), "generate", *options.split())
    # The generator casts a list of anything, such as the values of an audit entry, to what it is known to be.
    strict = "--config-file= --strict --disable-error-code=redundant-cast"
    run(folder, str(tools / "mypy"), *strict.split(), "-p", "shop", "-m", "place_order")

    assert run(folder, sys.executable, "place_order.py", *shop) == "placed, paid and cancelled\n"


def test_typescript(folder: Path, shop: tuple[str, str]) -> None:
    if shutil.which("npm") is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("the TypeScript client is NOT TESTED: the system has no npm")
    run(folder, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    # A field that has a default need not be sent.
    run(folder, "npx", "openapi-typescript", "openapi.json", "--default-non-nullable=false", "-o", "schema.d.ts")
    run(folder, "npx", "tsc")

    assert run(folder, "node", "built/place_order.js", *shop) == "placed, paid and cancelled\n"
