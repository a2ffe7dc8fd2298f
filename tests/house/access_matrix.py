"""The access matrix: every line of the constants `ACCESS` in the tests, with the request that its `REQUESTS` sends.

A line names a route, a case where the route has more than one, and the status that each caller gets:

    PATCH  /posts/{id}  (draft)                     401    200    404    200

The owner is the customer whose rows are asked for. A 404 says no more than the 404 of a row that does not exist.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from tests.support import ROOT, hanging_up
from tests.world import PRIVATE, World

CALLERS = ["nobody", "owner", "other", "staff"]
PARTS_OF_A_REQUEST = {"json", "data", "params", "content", "headers"}


@dataclass(frozen=True)
class Line:
    """One line of the matrix, and the file that it stands in."""

    method: str
    path: str
    case: str
    statuses: dict[str, int] = field(compare=False)
    given: dict[str, Any] = field(compare=False, repr=False)
    file: str = field(compare=False)

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    def __str__(self) -> str:
        return f"{self.route} ({self.case})" if self.case else self.route

    def request(self, app: FastAPI, world: World) -> dict[str, Any]:
        """The path with its values, and the body or query."""
        fixed = {"digest": digest(app), "path": "swagger-ui.css", **self.given}
        names = re.findall(r"{(\w+)}", self.path)
        values = {name: fixed[name] if name in fixed else world.in_path(self.path, name) for name in names}
        sent = {name: value for name, value in self.given.items() if name in PARTS_OF_A_REQUEST}
        return {"path": self.path.format(**values), **sent}

    async def send(self, app: FastAPI, world: World, caller: str, headers: Mapping[str, str] | None = None) -> None:
        """Call the route as somebody who may."""
        request = self.request(app, world)
        sent = {**(headers or {}), **request.pop("headers", {})}
        if caller != "nobody":
            sent["Authorization"] = f"Bearer {world.secrets[caller]}"
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(hanging_up(app)), base_url="http://test.example"
        ) as client:
            response = await client.request(self.method, request.pop("path"), headers=sent, **request)
        assert response.is_success, response.text


def lines_of(module: ModuleType) -> Iterator[Line]:
    """The lines of one test module."""
    file = Path(str(module.__file__)).relative_to(ROOT).as_posix()
    heading, *rest = (line.strip() for line in module.ACCESS.splitlines() if line.strip())
    assert heading.split() == CALLERS, f"the heading of ACCESS in {file} must be {'  '.join(CALLERS)}"
    requests: dict[str, dict[str, Any]] = dict(getattr(module, "REQUESTS", {}))
    for line in rest:
        parts = re.fullmatch(r"(\w+) +(\S+)(?: +\((.+)\))?((?: +\d{3}){4})", line)
        assert parts, f"a line of ACCESS in {file} is not a method, a path and four statuses: {line!r}"
        method, path, case, statuses = parts.groups()
        name = f"{method} {path} ({case})" if case else f"{method} {path}"
        statuses_of = dict(zip(CALLERS, map(int, statuses.split()), strict=True))
        yield Line(method, path, case or "", statuses_of, requests.pop(name, {}), file)
    assert not requests, (
        f"no line of ACCESS says who may call {', '.join(requests)}: add it to {file}, whose REQUESTS has it already"
    )


@cache
def matrix() -> list[Line]:
    """The lines of all test modules."""
    files = sorted(
        path for path in (ROOT / "tests").rglob("test_*.py") if re.search("^ACCESS = ", path.read_text(), re.M)
    )
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return [line for name in names for line in lines_of(import_module(name))]


def paths(app: FastAPI) -> list[str]:
    return [getattr(context, "path_format", None) or str(context.path) for context in iter_route_contexts(app.routes)]


def digest(app: FastAPI) -> str:
    """The name of the folder that /docs has its files in."""
    (found,) = (match[1] for path in paths(app) if (match := re.fullmatch(r"/docs/(\w+)/{path}", path)))
    return found


def routes(app: FastAPI) -> set[str]:
    """Every route of the app, and the files of /docs. A HEAD is answered like its GET.

    The admin's pages take a cookie, and no token: `tests/admin/test_access.py` opens each of them as everybody.
    """
    contexts = zip(iter_route_contexts(app.routes), paths(app), strict=True)
    return {
        f"{method} {path.replace(digest(app), '{digest}')}"
        for context, path in contexts
        for method in (context.methods or {"GET"})  # a mount has none, and serves files
        if method != "HEAD" and not path.startswith("/admin")
    }


def missing_line(route: str) -> str:
    """What to do for a route without a line."""
    method, path = route.split()
    prefix = path.split("/")[1]
    line = f"{method:6} {path:<42}   401    ...    ...    ..."
    return (
        f"no line of ACCESS says who may call {route}: "
        f"add it to tests/routes/{prefix}/test_{prefix}.py, with the statuses for {', '.join(CALLERS)}: `{line}`"
    )


def for_absent_rows(request: Any) -> Any:
    """The same request for rows that do not exist: every id of the world and every private name is replaced."""
    text = re.sub(r"\b9(\d)0000(\d)\b", r"9\g<1>5000\2", json.dumps(request))
    return json.loads(text.replace(PRIVATE, "absent").replace(PRIVATE.upper(), "ABSENT"))
