"""The admin as a client of the API: its requests go to the same app, in the same process.

So what a form does is what the API does: the same access, validation, rules and refusals. A request comes from the
browser's address, with the token of the browser's session.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from api.web.forms import FORM
from api.web.request_ids import HEADER, request_id_of

PASSED_ON = (b"host", b"user-agent", b"traceparent", b"tracestate")
"""Headers of the browser's request that the API gets too."""

RETRY_AFTER = "retry-after"

PART_SIZE = 65_536
"""Bytes of a file that are sent at once."""


class SentFile(NamedTuple):
    """A file as the body of a request. It is sent in parts, so that it is never in memory as a whole."""

    file: BinaryIO
    media_type: str

    @property
    def size(self) -> int:
        return self.file.seek(0, 2)

    def parts(self) -> Iterator[bytes]:
        self.file.seek(0)
        while part := self.file.read(PART_SIZE):
            yield part


@dataclass(frozen=True)
class Answer:
    """What the API answered."""

    status: int
    headers: Mapping[str, str]
    content: Any
    """The JSON; `None` where there is none."""

    @property
    def is_refusal(self) -> bool:
        return self.status >= 400

    @property
    def may_be_repeated(self) -> bool:
        """Whether the same request is to be sent again, with the same key: it may be done meanwhile."""
        return RETRY_AFTER in self.headers

    @property
    def detail(self) -> str:
        return str(self.content["detail"]) if self.is_refusal else ""

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong with each field, by its place: `body.price`."""
        found = self.content.get("errors", ()) if self.is_refusal else ()
        return {each["field"]: each["message"] for each in found}

    def error(self) -> HTTPException:
        """The refusal, where the page has nothing to add to it."""
        return HTTPException(self.status, self.detail, self._retry_after())

    def passed_on_by(self, page: Response) -> Response:
        """A page that shows the refusal, which also says to programs when to come back."""
        page.headers.update(self._retry_after())
        return page

    def _retry_after(self) -> dict[str, str]:
        return {RETRY_AFTER: self.headers[RETRY_AFTER]} if self.may_be_repeated else {}


def header_text(text: str) -> str:
    """Without what cannot stand in a header; no page of the admin has sent that."""
    return "".join(letter for letter in text if "\x21" <= letter <= "\x7e")


async def call_api(
    request: Request,
    method: str,
    path: str,
    *,
    token: str | None = None,
    body: Any = None,
    form: Mapping[str, str] | None = None,
    file: SentFile | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request to the API, on behalf of the browser that sent `request`."""
    content, media_type = b"", None
    if form is not None:
        content, media_type = urlencode(form).encode(), FORM
    elif body is not None:
        content, media_type = json.dumps(body).encode(), "application/json"
    given = dict(headers or {})
    if token is not None:
        given["authorization"] = f"Bearer {token}"
    if media_type is not None:
        given |= {"content-type": media_type, "content-length": str(len(content))}
    elif file is not None:
        given |= {"content-type": file.media_type, "content-length": str(file.size)}
    scope = _scope(request.scope, method, path, urlencode(query or {}), given)
    return await _run(request.app, scope, _body(content, file))


def _body(content: bytes, file: SentFile | None) -> Iterator[Message]:
    for part in file.parts() if file else ():
        yield {"type": "http.request", "body": part, "more_body": True}
    yield {"type": "http.request", "body": content, "more_body": False}


def _scope(scope: Scope, method: str, path: str, query: str, headers: Mapping[str, str]) -> Scope:
    root = scope.get("root_path", "")
    passed_on = [(name, value) for name, value in scope["headers"] if name in PASSED_ON]
    if request_id := request_id_of(scope):  # the trail then has the id that the page was answered with
        passed_on.append((HEADER, request_id.encode()))
    return {
        **{name: scope[name] for name in ("type", "asgi", "http_version", "scheme", "client", "server")},
        "root_path": root,
        "method": method,
        "path": root + path,
        "raw_path": (root + path).encode(),
        "query_string": query.encode(),
        "headers": [*passed_on, *((name.lower().encode(), value.encode()) for name, value in headers.items())],
        "state": {},
    }


async def _run(app: ASGIApp, scope: Scope, body: Iterator[Message]) -> Answer:
    messages: list[Message] = []

    async def receive() -> Message:
        message = next(body, {"type": "http.disconnect"})
        if message.get("more_body"):
            await asyncio.sleep(0)  # others have their turn
        return message

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    started, *parts = messages
    answered = b"".join(each.get("body", b"") for each in parts)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in started["headers"]}
    return Answer(started["status"], headers, json.loads(answered) if answered else None)
