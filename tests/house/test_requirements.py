"""The running shop needs what requirements.txt names and nothing else."""

import ast
import os
import re
import subprocess
import sys
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest

from api.settings import Settings
from tests.first_start import first_start
from tests.house.documents import copy_of_the_project
from tests.support import ROOT

FILES = ("requirements.txt", "requirements-dev.txt")
PINNED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[a-z0-9,-]+\])?==(?P<version>[0-9][\w.]*) +# \S.*")
EXTRA = "aiomysql"
"""Installed by a shop that runs on MariaDB or MySQL, and by nobody else: see the README."""

OFFLINE = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ProxyError", "Network is unreachable")
"""How pip says that it cannot reach its index."""

IMPORT_ALL = """
import importlib, pkgutil, sys
import api
from api.database.sessions import Database
from api.settings import Settings

for module in pkgutil.walk_packages(api.__path__, "api."):
    importlib.import_module(module.name)
Database(Settings(database_url="postgresql://localhost/shop"))  # which loads the driver
print(*{name.partition(".")[0] for name in sys.modules})
"""


def requirements(file: str) -> list[str]:
    """The lines of a file that name something to install."""
    lines = (line.strip() for line in (ROOT / file).read_text().splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def named(line: str) -> str:
    found = PINNED.fullmatch(line)
    assert found is not None, f"{line}\nis not of the form `name==1.2.3  # the reason why it is there`"
    return _normalised(found["name"])


def _normalised(name: str) -> str:
    """PEP 503: how the name of a distribution is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: str) -> dict[str, str]:
    """Third-party modules that a folder's code imports, and a file that does."""
    found: dict[str, str] = {}
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names):
                    modules = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case _:
                    continue
            found |= {module.partition(".")[0]: str(file.relative_to(ROOT)) for module in modules}
    ours = {"api", "migrations"} | sys.stdlib_module_names
    return {module: file for module, file in found.items() if module not in ours}


def test_every_requirement_is_pinned_with_a_reason_and_named_once() -> None:
    names = [named(line) for file in FILES for line in requirements(file)]
    assert len(names) > len(FILES)
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("folder", ["api", "migrations"])
def test_every_imported_package_stands_in_requirements_txt(folder: str) -> None:
    wanted = {named(line) for line in requirements("requirements.txt")}
    distributions = packages_distributions()
    for module, file in imported(folder).items():
        if module != EXTRA:
            provided_by = {_normalised(name) for name in distributions.get(module, [])}
            assert provided_by & wanted, (
                f"{file} imports {module}: add its package to requirements.txt, pinned, with a reason"
            )


@pytest.mark.copies
class TestEnvironmentOfTheShop:
    """A new environment with requirements.txt in it. These tests take as long as pip does."""

    @pytest.fixture(scope="class")
    @classmethod
    def environment(cls) -> dict[str, str]:
        """Without this process's own packages and the shop's settings."""
        ours = {name.upper() for name in Settings.model_fields} | {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        return {name: value for name, value in os.environ.items() if name not in ours}

    @pytest.fixture(scope="class")
    @classmethod
    def python(cls, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
        """The interpreter of a new environment with requirements.txt in it."""
        folder = tmp_path_factory.mktemp("requirements") / "venv"
        venv.create(folder, with_pip=True, symlinks=True)
        python = str(folder / "bin/python")
        install = [python, "-m", "pip", "install", "--quiet", "-r", str(ROOT / "requirements.txt")]
        done = subprocess.run(install, env=environment, capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            said = done.stdout + done.stderr
            give_up = pytest.skip if any(each in said for each in OFFLINE) and not os.environ.get("CI") else pytest.fail
            give_up(f"requirements.txt cannot be installed: {said}")
        return python

    @pytest.fixture(scope="class")
    @classmethod
    def shop(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A copy of the project without its tests."""
        return copy_of_the_project(tmp_path_factory.mktemp("requirements"), "tests")

    def test_the_packages_of_requirements_txt_are_compatible(self, environment: dict[str, str], python: str) -> None:
        done = subprocess.run([python, "-m", "pip", "check"], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_every_module_of_the_shop_is_imported_with_requirements_txt_alone(
        self, environment: dict[str, str], python: str, shop: Path
    ) -> None:
        done = subprocess.run([python, "-c", IMPORT_ALL], env=environment, cwd=shop, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        loaded = set(done.stdout.split())
        assert {"api", "psycopg"} <= loaded
        assert {"pytest", "httpx", EXTRA} & loaded == set()

    def test_the_shop_starts_and_shows_its_documentation_with_requirements_txt_alone(
        self, environment: dict[str, str], python: str, shop: Path
    ) -> None:
        environment = {**environment, "DATABASE_URL": "sqlite:///shop.db", "PORT": "0"}
        with first_start(environment, shop, python) as (address, password), httpx.Client(base_url=address) as client:
            for path in ("/health/ready", "/docs", "/openapi.json"):
                assert client.get(path).status_code == 200, path
            signed_in = client.post("/auth/token", data={"username": "admin", "password": password})
            assert signed_in.status_code == 200, signed_in.text
            token = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
            assert client.get("/users/me", headers=token).json()["is_superuser"]
