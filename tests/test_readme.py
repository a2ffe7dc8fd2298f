"""The README is true: its tour is taken, its entity is added, and its tables name what there is."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.settings import Settings
from tests.conftest import ROOT
from tests.databases import Backend

README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def section(title: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return str(found)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def steps(script: str) -> list[tuple[str, list[str]]]:
    """Commands, each with the parts of its answer that the lines after it promise."""
    found = re.findall(r"((?:(?!#> ).*\n)+)((?:#> .*\n)*)", script)
    return [(commands, [line.removeprefix("#> ") for line in promised.splitlines()]) for commands, promised in found]


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def first_start(environment: dict[str, str], folder: Path, python: str = sys.executable) -> Iterator[tuple[str, str]]:
    """The shop's address and the first password, as the first start shows them."""
    command = [python, "-m", "api"]
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as shop:
        assert shop.stdout is not None
        try:
            shown = shop.stdout.readline() + shop.stdout.readline()
            password = re.search(r"password (\S+)", shown)
            address = re.search(r"(http://\S+)/docs", shown)
            assert password is not None, shown
            assert address is not None, shown
            yield address[1], password[1]
        finally:
            shop.terminate()
        assert shop.wait(30) == 0


def test_the_tour_can_be_taken(backend: Backend, tmp_path: Path) -> None:
    told, *script = blocks(section("Ten minutes"), "sh")
    assert told.startswith("BASE=http://127.0.0.1:8000\nPASSWORD=")
    with backend.new_database() as url:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": url, "PORT": "0"}
        with first_start(environment, tmp_path) as (address, password):
            environment |= {"BASE": address, "PASSWORD": password}
            tour = steps("".join(script).replace(".venv/bin/", f"{BIN}/"))
            commands = "".join(f"{{ {each}\n}} 2>&1\nprintf '\\n--next--\\n'\n" for each, _ in tour)
            *answers, rest = run(["bash", "-c", commands], environment, tmp_path).split("--next--\n")
    assert rest == ""
    for (command, promised), answer in zip(tour, answers, strict=True):
        for part in promised:
            assert part in answer, f"{command}answered\n{answer}"
    assert sum(len(promised) for _, promised in tour) > 15


def test_an_entity_can_be_added(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    ignored = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "*.db*")
    shutil.copytree(ROOT, shop, ignore=ignored)
    text = section("Add an entity")
    for path, code in re.findall(r"`([a-z_/]+\.py)`[^`]*?:\n\n```python\n(.*?)^```", text, re.M | re.S):
        (shop / path).write_text(code)
    family = ["Supplier", "SupplierBase", "SupplierCreate", "SupplierRead", "SupplierUpdate"]
    exports = shop / "api/models/__init__.py"
    _edit(exports, r"(?=^__all__)", f"from api.models.supplier import {', '.join(family)}\n\n")
    _edit(exports, r"(?<=^__all__ = \[\n)", "".join(f'    "{name}",\n' for name in family))
    _edit(shop / "api/main.py", r"(?<=    products,\n)", "    suppliers,\n")
    _edit(shop / "api/openapi.py", r"(?<=^TAGS = \{\n)", '    "suppliers": "Who the shop buys from.",\n')
    environment = {**os.environ, "PYTHONPATH": str(shop), "DATABASE_URL": "sqlite:///shop.db"}
    alembic = [sys.executable, "-m", "alembic"]
    run([*alembic, "upgrade", "head"], environment, shop)
    make, migrate = blocks(text, "sh")[0].splitlines()
    for command in (make, migrate, ".venv/bin/alembic check", ".venv/bin/alembic downgrade -1"):
        run(["bash", "-c", command.replace(".venv/bin/alembic", " ".join(alembic))], environment, shop)
    (revision,) = (shop / "migrations/versions").glob("*_add_suppliers.py")
    assert "uq_suppliers_name" in revision.read_text()
    tests = ["tests/test_suppliers.py", "tests/test_models.py", "tests/test_openapi.py"]
    assert "passed" in run([sys.executable, "-m", "pytest", "-q", "-n", "0", *tests], environment, shop)


def _edit(file: Path, where: str, insertion: str) -> None:
    before = file.read_text()
    after = re.sub(where, insertion, before, flags=re.MULTILINE)
    assert after != before, file
    file.write_text(after)


def test_every_setting_is_in_the_table() -> None:
    named = set(re.findall(r"`([A-Z_]+)`", "".join(re.findall(r"^\|([^|]*)\|", section("Configuration"), re.M))))
    assert named == {name.upper() for name in Settings.model_fields}


def test_every_module_and_folder_has_its_place_in_the_architecture() -> None:
    """And what is in a folder is told by its name: one file per entity, URL prefix or rule."""
    first_column = "".join(re.findall(r"^\| (`[^|]*)\|", section("Architecture"), re.MULTILINE))
    named = set(re.findall(r"`(\w+(?:\.py|/))`", first_column))
    modules = {module.name for module in (ROOT / "api").glob("*.py")} - {"__init__.py"}
    folders = {f"{package.parent.name}/" for package in (ROOT / "api").glob("*/__init__.py")}
    assert named == modules | folders


def test_the_two_commands_are_one_line_each() -> None:
    serve, test = blocks(section("Two commands"), "sh")
    assert serve.count("\n") == test.count("\n") == 1
    assert "python -m api" in serve
    assert "pytest" in test
