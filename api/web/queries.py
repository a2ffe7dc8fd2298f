"""The query of a request: a name that its route does not know is refused, and what is left empty counts as absent.

A misspelled name that is ignored is a filter that lists everything, or a paging loop that never ends.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.web.framework_internals import query_fields
from api.web.wrong_names import suggestion


class EmptyIsAValue:
    """In `Annotated[...]` of an optional parameter: sent empty, it is not absent."""


MAX_MISTAKES = 20
"""Mistakes that are looked at: finding what each stands for takes time."""

MAX_SHOWN_LENGTH = 60
"""Characters of an unknown name that an answer repeats."""


class KnownQuery:
    """The parameters that a route takes, found when one is sent for the first time."""

    def __init__(self, route: APIRoute) -> None:
        self._route = route

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(query_fields(self._route))

    @cached_property
    def may_be_empty(self) -> frozenset[str]:
        fields = query_fields(self._route).items()
        return frozenset(n for n, info in fields if not info.is_required() and EmptyIsAValue not in info.metadata)

    def checked(self, request: Request) -> Request:
        """The request without the parameters that are left empty.

        Raises:
            RequestValidationError: A name is unknown, or is sent more than once.
        """
        sent = request.query_params.multi_items()
        kept = [(name, value) for name, value in sent if value or name not in self.may_be_empty]
        kept_names = {name for name, _ in kept}
        if len(kept_names) == len(sent) and kept_names <= self.names:  # nothing is empty, nothing is there twice
            return request
        if mistakes := list(islice(self._mistakes(Counter(name for name, _ in sent)), MAX_MISTAKES)):
            raise RequestValidationError(mistakes)
        return Request({**request.scope, "query_string": urlencode(kept).encode()}, request.receive)

    def _mistakes(self, sent: Counter[str]) -> Iterator[dict[str, Any]]:
        for name, times in sent.items():
            if name not in self.names:
                message = f"is not a parameter of this path: {suggestion(name, sorted(self.names))}"
                yield {"type": "unknown_parameter", "loc": ("query", name[:MAX_SHOWN_LENGTH]), "msg": message}
            elif times > 1:
                yield {"type": "repeated_parameter", "loc": ("query", name), "msg": "must be sent only once"}
