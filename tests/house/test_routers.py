"""Every file of api/routers/ is a router of the app, and every route runs in a transaction.

Each failure names the file and what to add there.
"""

import ast
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api import routers
from api.main import create_app
from api.routers import MODULES
from api.settings import Settings
from api.web.routing import Router, TransactionRoute
from tests.support import ROOT

REGISTRY = "api/routers/__init__.py"
FILES = sorted(path.stem for path in (ROOT / "api/routers").glob("*.py") if path.stem != "__init__")

WITHOUT_PREFIX = {"health": "it serves / as well as /health"}
"""Files whose router has no prefix, each with the reason."""

SUB_RESOURCES = {"payments": "/orders/{id}/payments", "webhook_deliveries": "/webhooks/{id}"}
"""The prefix of a file's second router, which stands under the path of its parent."""


def module_of(name: str) -> ModuleType:
    return import_module(f"{routers.__name__}.{name}")


def routers_in(name: str) -> list[Router]:
    return [value for value in vars(module_of(name)).values() if isinstance(value, Router)]


def routes_without_transaction(app: FastAPI) -> Iterator[str]:
    """The routes that are made by something else than a `Router`; files that are served are no such routes."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute) and not isinstance(context.original_route, TransactionRoute):
            yield f"{'/'.join(sorted(context.methods or ()))} {context.path_format}"


class TestRegistry:
    @pytest.mark.parametrize("name", FILES)
    def test_every_router_file_is_in_the_registry(self, name: str) -> None:
        assert name in MODULES, f'add to MODULES in {REGISTRY} the line `"{name}",`'

    @pytest.mark.parametrize("name", MODULES)
    def test_every_line_of_the_registry_has_a_file(self, name: str) -> None:
        assert name in FILES, f"there is no api/routers/{name}.py: take `{name}` out of MODULES in {REGISTRY}"

    def test_no_line_stands_in_the_registry_twice(self) -> None:
        twice = sorted({name for name in MODULES if MODULES.count(name) > 1})
        assert not twice, f"MODULES in {REGISTRY} names these files twice: {twice}"


class TestRouterFile:
    @pytest.mark.parametrize("name", FILES)
    def test_every_router_file_has_a_docstring(self, name: str) -> None:
        docstring = ast.get_docstring(ast.parse((ROOT / f"api/routers/{name}.py").read_text()))
        assert docstring, f"api/routers/{name}.py has no docstring: add one, which is what /docs says of its tag"

    @pytest.mark.parametrize("name", FILES)
    def test_every_prefix_is_the_name_of_its_file(self, name: str) -> None:
        file, prefix = f"api/routers/{name}.py", f"/{name.replace('_', '-')}"
        found = [each.prefix for each in routers_in(name)]
        assert found, f'{file} has no router: add `router = Router("{prefix}", tag="{name}")`'
        main = "" if name in WITHOUT_PREFIX else prefix
        expected = [main, *([SUB_RESOURCES[name]] if name in SUB_RESOURCES else [])]
        assert found == expected, (
            f"{file}: the prefixes of its routers are to be {expected}, and are {found}; "
            "exceptions stand in tests/house/test_routers.py"
        )

    @pytest.mark.parametrize("name", FILES)
    def test_every_router_of_a_file_has_the_tag_of_the_file(self, name: str) -> None:
        tags = {each.tag for each in routers_in(name)}
        assert len(tags) == 1, f"api/routers/{name}.py: give its routers one tag, and not {sorted(tags)}"


class TestTransaction:
    def test_every_route_runs_in_a_transaction(self) -> None:
        app = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db"))
        without = list(routes_without_transaction(app))
        assert not without, (
            f"without a transaction: {', '.join(without)}. Make its router with `Router(...)` of api/web/routing.py"
        )

    def test_a_route_without_a_transaction_is_found(self) -> None:
        async def late() -> None: ...

        plain, ours, app = APIRouter(prefix="/reviews"), Router("/reviews", tag="reviews"), FastAPI()
        for router, path in ((plain, "/plain"), (ours, "/ours")):
            router.add_api_route(path, late)
            app.include_router(router)
        app.add_api_route("/late", late, methods=["POST"])
        assert list(routes_without_transaction(app)) == ["GET /reviews/plain", "POST /late"]
