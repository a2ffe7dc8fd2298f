"""Preconditions: what is unchanged is not sent again, and an edit of what has changed meanwhile is refused.

The ETag of a row is `"<version>-<hash>"`: its version, and a hash of the answer without what reading it changes.

    If-None-Match   compares the whole, so that a 304 hides no change but views: the read would count one itself
    If-Match        compares the version, which is what it guards: what people edit (`api/models/versioned.py`). So a
                    product that sells every second can be edited, and no sale is undone, because no edit writes a stock

Which route takes which header follows from what the route is, so no list of routes is kept. A read takes If-None-Match
where it answers one row. A PUT, PATCH or DELETE takes If-Match where one of its dependencies hands it a row with a
version: that row is compared after everything that the route depends on, which has locked it, and before the route
itself. Where a row cannot be locked first, as in the category tree, its UPDATE names the version that was compared. Any
other write refuses both headers, and a read refuses If-Match, because neither may be ignored.

After RFC 9110, sections 8.8.3 and 13.1; a list and a report have no ETag, so If-None-Match never matches theirs.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from inspect import signature
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response

from api.errors import BadRequest, PreconditionFailed, Unprocessable
from api.models.types import READING_CHANGES
from api.models.versioned import version_of
from api.web.key_rules import WRITES

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
EDITS = frozenset({"PUT", "PATCH", "DELETE"})

_TAG = r'(W/)?"[!#-~]*"'
TAGS_PATTERN = rf"^(\*|(,[ \t]*)*{_TAG}([ \t]*,([ \t]*{_TAG})?)*)$"
"""`*`, or ETags with commas between them. Each white space has one place, so that no text takes long to be refused."""

HASH_SIZE = 8
"""Bytes: of a million answers of one row, two have the same hash once in 37 million times."""

NO_SINGLE_ROW = "This route takes no If-Match: it changes no single row that has a version."
ONLY_EDITS = "This route takes no If-Match, which is for PUT, PATCH and DELETE."
ONLY_READS = "This route takes no If-None-Match, which is for GET and HEAD."

WITHOUT_HEADER = "Send the request without the header."

CHANGED = "The row has changed since you read it. Read it again, and repeat the change with the new ETag."
WEAK = (
    "If-Match compares no weak ETags (W/), which a proxy makes that compresses answers: ask for one that it left alone."
)

_SENT = "shop.preconditions"
"""The key in a request's scope of what its headers say."""


class Sent(NamedTuple):
    """The ETags of a request's headers; `None` where it has no such header."""

    match: list[str] | None
    none_match: list[str] | None


class Preconditions:
    """Which of the two headers a route takes, and how they are compared."""

    def __init__(self, route: APIRoute) -> None:
        declared = signature(route.endpoint)
        methods = route.methods or set()
        self.reads = not WRITES & methods
        rows = [name for name, each in declared.parameters.items() if EDITS & methods and _is_row(each.annotation)]
        self.row = rows[0] if rows else None
        """The parameter that has the row that an If-Match guards."""
        self.has_etag = _has_id(route.response_model) and (self.reads or _is_row(declared.return_annotation))
        """Whether the answer is one row. One that is only recorded, such as a payment, has no ETag."""
        self._reading_changes = _numbers(sorted(_changed_by_reading(route.response_model))) if self.has_etag else None
        self.takes_if_none_match = self.has_etag and self.reads
        self.refusal_of_match = None if self.row else NO_SINGLE_ROW if EDITS & methods else ONLY_EDITS

    def read_headers(self, request: Request) -> None:
        """Note what the headers say; a request without them pays next to nothing.

        Raises:
            BadRequest: The route does not take one of them.
            Unprocessable: One of them is malformed.
        """
        for name, _ in request.scope["headers"]:
            if name in (b"if-match", b"if-none-match"):
                break
        else:
            return
        if self.refusal_of_match and IF_MATCH in request.headers:
            raise BadRequest(f"{self.refusal_of_match} {WITHOUT_HEADER}")
        if not self.reads and IF_NONE_MATCH in request.headers:
            raise BadRequest(f"{ONLY_READS} {WITHOUT_HEADER}")
        request.scope[_SENT] = Sent(_tags_of(request, IF_MATCH), _tags_of(request, IF_NONE_MATCH))

    def check(self, request: Request, arguments: Mapping[str, Any]) -> None:
        """Compare the row that a route was given with the If-Match of the request.

        Raises:
            PreconditionFailed: It has another version.
        """
        sent: Sent | None = request.scope.get(_SENT)
        if self.row is None or sent is None or sent.match is None or "*" in sent.match:
            return
        version = version_of(arguments[self.row])
        if not any(tag.startswith(f'"{version}-') for tag in sent.match):
            is_weak = any(tag.startswith("W/") for tag in sent.match)
            raise PreconditionFailed(f"{CHANGED} {WEAK}" if is_weak else CHANGED)

    def tagged(self, request: Request, response: Response, version: Any) -> Response:
        """An answer with its ETag; where the client has it already, a 304 in its place."""
        if not self.has_etag:
            return response
        content = response.body if self._reading_changes is None else self._reading_changes.sub(b"", response.body)
        digest = blake2b(content, digest_size=HASH_SIZE).hexdigest()
        tag = f'"{digest}"' if version is None else f'"{version}-{digest}"'
        sent: Sent | None = request.scope.get(_SENT)
        if sent is not None and sent.none_match is not None and _matches_weakly(tag, sent.none_match):
            return Response(status_code=304, headers={"ETag": tag})
        response.raw_headers.append((b"etag", tag.encode()))
        return response


def _tags_of(request: Request, header: str) -> list[str] | None:
    lines = request.headers.getlist(header)
    if not lines:
        return None
    text = ", ".join(lines)
    if not re.fullmatch(TAGS_PATTERN, text):
        raise Unprocessable(f"header.{header}", 'must be ETags in quotes, such as "3-7d5b8a1f0c9e2463", or one *')
    return ["*"] if text == "*" else [each[0] for each in re.finditer(_TAG, text)]


def _matches_weakly(tag: str, others: list[str]) -> bool:
    return any(each in ("*", tag, f"W/{tag}") for each in others)


def _has_id(model: Any) -> bool:
    return isinstance(model, type) and "id" in getattr(model, "model_fields", ())


def _changed_by_reading(answer: Any) -> set[str]:
    """The fields of an answer, and of what it has in it, that reading changes."""
    found, seen, waiting = set[str](), set[Any](), [answer]
    while waiting:
        each = waiting.pop()
        if isinstance(each, type) and issubclass(each, BaseModel):
            if each in seen:
                continue
            seen.add(each)
            found |= {name for name, field in each.model_fields.items() if READING_CHANGES in field.metadata}
            waiting += [field.annotation for field in each.model_fields.values()]
        waiting += get_args(each)
    return found


def _numbers(names: Iterable[str]) -> re.Pattern[bytes] | None:
    """Matches these fields in JSON; within a text their quotes would be escaped."""
    found = "|".join(map(re.escape, names)).encode()
    return re.compile(rb'"(?:%b)": ?\d+' % found) if found else None


def _is_row(annotation: Any) -> bool:
    """Whether values of a type are rows with a version."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return _has_id(kind) and hasattr(kind, "versioned_by")
