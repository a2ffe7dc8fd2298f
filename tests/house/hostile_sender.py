"""Sends hostile requests to the app, from a world in which every valid request succeeds."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
from fastapi import FastAPI
from sqlmodel import col, update
from starlette.types import Receive, Scope, Send

from api.models.user import User
from tests.house.hostile_requests import FORM, JSON, Document, Operation
from tests.house.hostile_values import SECRET
from tests.seed import Seed
from tests.support import PASSWORD, CheckedTransport, Contract
from tests.world import (
    CONFIRMATION_TOKEN,
    OTHER,
    OTHER_ACCOUNT,
    OWNER,
    OWNER_ACCOUNT,
    PARENT_CATEGORY,
    REGISTRATION_TOKEN,
    RESET_TOKEN,
    World,
)

QUERIES = {"q": "own", "days": 30}
"""Required parameters of queries without an example in the document."""

LINK_TOKENS = {
    "/auth/password/reset/confirm": RESET_TOKEN,
    "/auth/email/confirm": CONFIRMATION_TOKEN,
    "/auth/registration/confirm": REGISTRATION_TOKEN,
}
"""The secrets of links in mails, by the paths that take one."""


def quoted(text: str) -> str:
    """A text as it stands in a URL; a lone surrogate as the bytes that UTF-8 does not allow."""
    return quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="")


def written(body: Any) -> bytes:
    return json.dumps(body).encode()


class RawQueries:
    """Hands a query string to the app as it is. An HTTP client would repair it."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.query = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "query_string": self.query}, receive, send)


class Sender:
    """Sends requests as the owner of the world, who is staff here. Before the next request each change is undone."""

    def __init__(self, app: FastAPI, contract: Contract, document: Document, world: World) -> None:
        self.document = document
        self.world = world
        self.raw = RawQueries(app)
        self.transport = CheckedTransport(self.raw, contract)
        self.secret = world.secrets["owner"]
        self.references = world.references() | {
            "parent_id": PARENT_CATEGORY,
            "from_account_id": OWNER_ACCOUNT,
            "to_account_id": OTHER_ACCOUNT,
            "tags": [world.row("tags")["slug"]],
        }
        self.changed_by: Operation | str | None = None
        self.done_once: set[Operation] = set()

    @classmethod
    async def of(cls, app: FastAPI, contract: Contract, document: Document, seed: Seed) -> "Sender":
        """Write the world. Its owner may do everything, as owner of the rows and as staff."""
        promotion = update(User).where(col(User.id) == OWNER).values(is_superuser=True)
        world = await World.write(app.state.database, seed, promotion)
        world.name_in_requests("users", OTHER)  # whoever deactivates oneself cannot send another request
        return cls(app, contract, document, world)

    async def send(
        self,
        operation: Operation,
        *,
        path: Mapping[str, str] | None = None,
        query: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        after_others: bool = False,
    ) -> httpx.Response:
        """Send the valid request of an operation, changed in the given parts; no answer may hold a secret.

        With `after_others`, earlier changes by the same operation stay. If they get in its way, they are undone.
        """
        is_done_again = after_others and self.changed_by == operation and operation not in self.done_once
        if not is_done_again:
            await self.restore()
        self.raw.query = self.query(operation) if query is None else query
        sent = {b"Authorization": f"Bearer {self.secret}".encode()}
        sent |= {name.encode(): value for name, value in (headers or {}).items()}
        if operation.media_type:
            sent.setdefault(b"Content-Type", operation.media_type.encode())
            if content is None:
                content = self.content(operation)
        target = operation.path.format_map({**self.path(operation), **(path or {})})
        response = await self._send(operation.method, target, sent, content)
        assert response.status_code < 500, response.text
        assert not any(secret in response.text for secret in (PASSWORD, SECRET, self.secret)), response.text
        if is_done_again and response.status_code in {403, 404, 409}:
            self.done_once.add(operation)
            return await self.send(operation, path=path, query=query, headers=headers, content=content)
        # A wrong password changes something too: it is counted.
        if operation.method != "GET" and (response.is_success or operation.path.startswith("/auth")):
            self.changed_by = operation
        return response

    async def send_again(self, operation: Operation, **changed: Any) -> httpx.Response:
        """Send a request after another one, whose changes stay."""
        self.changed_by = None
        response = await self.send(operation, **changed)
        self.changed_by = operation
        return response

    async def send_together(
        self, operation: Operation, times: int, headers: Mapping[str, bytes]
    ) -> list[httpx.Response]:
        """Send the valid request of an operation several times at once."""
        await self.restore()
        self.changed_by = operation
        self.raw.query = self.query(operation)
        sent = {b"Authorization": f"Bearer {self.secret}".encode()}
        sent |= {name.encode(): value for name, value in headers.items()}
        content = None
        if operation.media_type:
            sent[b"Content-Type"] = operation.media_type.encode()
            content = self.content(operation)
        target = operation.path.format_map(self.path(operation))
        return await asyncio.gather(*(self._send(operation.method, target, sent, content) for _ in range(times)))

    async def post(self, path: str, body: Any) -> httpx.Response:
        """Send a valid request beside others."""
        self.raw.query = b""
        self.changed_by = path
        headers = {b"Authorization": f"Bearer {self.secret}".encode(), b"Content-Type": JSON.encode()}
        return await self._send("POST", path, headers, written(body))

    async def _send(
        self, method: str, path: str, headers: dict[bytes, bytes], content: bytes | AsyncIterator[bytes] | None
    ) -> httpx.Response:
        """Send without a client, whose cookies, redirects and log lines cost a sixth of the time."""
        request = httpx.Request(method, f"http://test.example{path}", headers=headers, content=content)
        return await self.transport.handle_async_request(request)

    async def restore(self) -> None:
        """Undo what the last requests changed."""
        if self.changed_by:
            await self.world.restore()
            self.changed_by = None

    def path(self, operation: Operation) -> dict[str, str]:
        names = [each["name"] for each in operation.parameters("path")]
        return {name: str(self.world.in_path(operation.path, name)) for name in names}

    def query(self, operation: Operation, **changed: str) -> bytes:
        required = {each["name"]: each["schema"] for each in operation.parameters("query") if each["required"]}
        known = {name: QUERIES[name] if name in QUERIES else self.document.example(required[name]) for name in required}
        sent = {name: str(value) for name, value in known.items()} | changed
        return "&".join(f"{name}={quoted(text)}" for name, text in sent.items()).encode()

    def content(self, operation: Operation) -> bytes:
        """A valid body: a form, JSON, or a file."""
        if operation.media_type == FORM:
            return self.form(operation)
        body = self.body(operation)
        return written(body) if operation.media_type == JSON else str(body).encode()

    def body(self, operation: Operation) -> Any:
        """The example of the document. Its references name rows of the world."""
        body = self._referring(self.document.example(operation.body))
        if operation.path == "/auth/token":
            body["username"] = self.world.row("users")["username"]
        if operation.path in LINK_TOKENS:
            body["token"] = LINK_TOKENS[operation.path]
        return body

    def form(self, operation: Operation, **changed: str) -> bytes:
        fields = {**self.body(operation), **changed}
        return "&".join(f"{name}={quoted(text)}" for name, text in fields.items()).encode()

    def _referring(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._referring(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: self.references[name] if name in self.references else self._referring(each)
            for name, each in value.items()
        }
