"""Imports run one way, down the layers of `import_rules.py`, and in no circle.

No two modules of api/ import each other, not even in a roundabout way, and no two rooms do. The models alone do it
under `if TYPE_CHECKING:`, because a relationship has two ends. What is private in a framework is used in one module a
room.
"""

import subprocess
import sys

import pytest

from tests.house.import_rules import (
    DOCUMENTED,
    LAYER_OF,
    LAYERS,
    circles,
    file_of,
    imports,
    imports_for_types_elsewhere,
    modules,
    private_names,
    room_of,
    upward,
)
from tests.support import ROOT

SOURCES = modules("api")
TESTS = modules("tests")
FOUND = imports(SOURCES)
KNOWN = {
    "api.models.user": "",
    "api.routers": "",
    "api.routers.orders": "",
    "api.rules": "",
    "api.rules.stock": "",
    "api.web.problems": "",
}

IMPORT_ROOM = """
import importlib, pkgutil, sys
room = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
    importlib.import_module(module.name)
print(*sorted(sys.modules), sep="\\n")
"""


class TestLayers:
    def test_every_import_runs_down_the_layers(self) -> None:
        wrong = upward(FOUND)
        assert not wrong, "\n".join(wrong)

    def test_every_room_has_a_layer(self) -> None:
        rooms = {room_of(name) for name in SOURCES} - {""}
        missing = sorted(rooms - LAYER_OF.keys())
        assert not missing, f"LAYERS in tests/house/import_rules.py names no layer for {missing}"

    def test_no_room_has_two_layers(self) -> None:
        assert sum(map(len, LAYERS)) == len(LAYER_OF)

    @pytest.mark.parametrize("room", ["api.rules", "api.database", "api.models", "api.errors"])
    def test_rules_database_models_and_errors_load_no_web_framework(self, room: str) -> None:
        script = (
            IMPORT_ROOM if (ROOT / room.replace(".", "/")).is_dir() else "import sys, api.errors\nprint(*sys.modules)"
        )
        command = [sys.executable, "-c", script, room]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        loaded = {name.partition(".")[0] for name in done.stdout.split()}
        assert "api" in loaded
        found = sorted(loaded & {"fastapi", "starlette", "uvicorn"})
        assert not found, f"importing {room} loads {found}: it is to know nothing of HTTP"


class TestCircles:
    def test_no_two_rooms_import_each_other(self) -> None:
        found = circles(FOUND, of_rooms=True)
        assert not found, f"rooms of api/ that import each other: {found}"

    def test_no_two_modules_import_each_other(self) -> None:
        found = circles(FOUND, of_rooms=False)
        assert not found, f"modules of api/ that import each other: {found}"

    def test_only_models_import_each_other_for_their_types(self) -> None:
        wrong = imports_for_types_elsewhere(FOUND)
        assert not wrong, "\n".join(wrong)


class TestPlantedImport:
    """The rules find what they are for."""

    @pytest.mark.parametrize(
        "planted",
        [
            "from api.routers.orders import router",
            "from api.routers import orders",
            "import api.routers.orders",
            "import api.routers.orders as orders",
            "from ..routers.orders import router",
            "from ..routers import orders",
            "def withdraw():\n    from api.routers.orders import router",
            "async def withdraw():\n    if True:\n        import api.routers.orders",
            "from importlib import import_module\norders = import_module('api.routers.orders')",
            "import importlib\norders = importlib.import_module('api.routers.orders')",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from api.routers.orders import router",
            "try:\n    from api.routers.orders import router\nexcept ImportError:\n    pass",
        ],
        ids=repr,
    )
    def test_an_import_up_the_layers_is_found(self, planted: str) -> None:
        (wrong,) = upward(imports({**KNOWN, "api.rules.stock": planted}))
        assert wrong.startswith("api/rules/stock.py:")
        assert "imports api.routers.orders: rules stands below routers" in wrong

    def test_an_import_down_the_layers_is_allowed(self) -> None:
        planted = "from api.rules import stock\nfrom api.models.user import User\nfrom api.web.problems import Problem"
        found = imports({**KNOWN, "api.routers.orders": planted})
        assert [each.imported for each in found] == ["api.rules.stock", "api.models.user", "api.web.problems"]
        assert upward(found) == []

    def test_a_room_without_a_layer_is_found(self) -> None:
        (wrong,) = upward(imports({**KNOWN, "api.rules.stock": "import api.helpers.misc"}))
        assert "give helpers a layer in LAYERS of tests/house/import_rules.py" in wrong

    def test_a_circle_of_modules_is_found(self) -> None:
        found = imports(
            {
                "api.rules.stock": "from api.rules.placing import place",
                "api.rules.placing": "def place():\n    from api.rules import ledger",
                "api.rules.ledger": "import api.rules.stock",
            }
        )
        assert circles(found, of_rooms=False) == ["api.rules.ledger ⇄ api.rules.placing ⇄ api.rules.stock"]
        assert circles(found, of_rooms=True) == []

    def test_a_circle_of_rooms_is_found(self) -> None:
        found = imports(
            {
                "api.web.paging": "from api.auth.callers import User",
                "api.auth.callers": "",
                "api.auth.tokens": "from api.web.problems import Problem",
                "api.web.problems": "",
            }
        )
        assert circles(found, of_rooms=True) == ["auth ⇄ web"]
        assert circles(found, of_rooms=False) == []

    def test_an_import_for_types_is_allowed_between_models_alone(self) -> None:
        for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {} import X"
        models = imports({"api.models.order": for_types.format("api.models.user"), "api.models.user": ""})
        rules = imports({"api.rules.placing": for_types.format("api.rules.stock"), "api.rules.stock": ""})
        down = imports({"api.rules.placing": for_types.format("api.models.user"), "api.models.user": ""})
        assert imports_for_types_elsewhere(models) == []
        assert (
            "api/rules/placing.py:3 imports api.rules.stock under TYPE_CHECKING"
            in imports_for_types_elsewhere(rules)[0]
        )
        assert len(imports_for_types_elsewhere(down)) == 1


class TestPrivateNames:
    @pytest.mark.parametrize("name", [name for name in SOURCES if not name.endswith("_internals")])
    def test_private_names_are_used_in_modules_of_internals_alone(self, name: str) -> None:
        found = private_names(SOURCES[name])
        assert not found, (
            f"{file_of(name)} uses what is private: {found}. Move it to the framework_internals.py of its room, "
            "with the reason and the test that notices when it goes"
        )

    def test_every_documented_exception_is_used(self) -> None:
        unused = [name for name in DOCUMENTED if not any(f".{name}" in source for source in SOURCES.values())]
        assert not unused, f"take {unused} out of DOCUMENTED in tests/house/import_rules.py"

    @pytest.mark.parametrize(
        "planted",
        [
            "pool._max_overflow",
            "pool.of()._timeout",
            "from fastapi.routing import _prepare",
            "from pydantic._internal import utils",
            "import pydantic._internal",
        ],
    )
    def test_a_private_name_is_found(self, planted: str) -> None:
        assert private_names(planted) == [f"line 1: {planted}"]

    def test_private_names_of_a_class_itself_are_no_private_names_of_others(self) -> None:
        assert private_names("self._rows\ncls._rows\n__name__\nx.__dict__\n_helper()") == []


class TestTests:
    def test_no_test_module_imports_another_test_module(self) -> None:
        wrong = [
            str(each)
            for each in imports(TESTS, package="tests")
            if each.imported.rpartition(".")[2].startswith("test_")
        ]
        assert not wrong, f"move what is shared to a module that is not named test_*: {wrong}"

    def test_nothing_of_the_shop_imports_its_tests(self) -> None:
        wrong = [str(each) for each in imports(SOURCES, package="tests")]
        assert not wrong, "\n".join(wrong)
