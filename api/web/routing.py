"""The router that every file of `api/routers/` makes."""

import inspect
import re
from collections.abc import Awaitable, Callable
from functools import cached_property, wraps
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.errors import ShopError
from api.models.versioned import version_of
from api.reads.answers import json_of
from api.reads.rows import Read, RowAsJSON
from api.web.app_state import uses_database_itself
from api.web.arguments import Arguments, arguments_of
from api.web.framework_internals import answering, dependencies_of
from api.web.idempotency import answer_once
from api.web.key_rules import KeyRules, key_rules_of
from api.web.preconditions import Preconditions
from api.web.queries import KnownQuery
from api.web.transactions import Handler, in_transaction, run_of
from api.web.uploads import UploadLimit, without_leftovers


class JSONContent(Response):
    """An answer in JSON whose headers are always these two."""

    def init_headers(self, headers: Any = None) -> None:
        self.raw_headers = [
            (b"content-length", str(len(self.body)).encode()),
            (b"content-type", b"application/json"),
        ]


def accepted(answer: Any, model: Any) -> Response:
    """A 202, of a route that else answers with what it has made; `model` is the Read class."""
    return JSONContent(json_of(answer, model), HTTPStatus.ACCEPTED)


class InternalError(Exception):
    """A mistake of the shop's own, which is its cause.

    An error of any kind has a handler inside all middleware; only that for `Exception` itself stands outside of it.
    """


class TransactionRoute(APIRoute):
    """A route that runs in a transaction and, where it writes, under an `Idempotency-Key` once.

    A read that it returns is run here, after everything that it depends on; anything else is written by `answers`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Any]], **options: Any) -> None:
        signature, request_name, takes_request = _with_request(endpoint)

        @wraps(endpoint)
        async def answer(**arguments: Any) -> Any:
            request = arguments[request_name] if takes_request else arguments.pop(request_name)
            self.preconditions.check(request, arguments)
            returned = await endpoint(**arguments)
            if isinstance(returned, Read):
                async with run_of(request).connection() as connection:
                    content = await returned.run(connection, self.response_model)
            elif isinstance(returned, RowAsJSON):
                content = returned.content
            elif isinstance(returned, Response):
                return returned
            elif self.status_code == HTTPStatus.NO_CONTENT:
                return Response(status_code=HTTPStatus.NO_CONTENT)
            elif self.response_model is None:
                return returned
            else:
                content = json_of(returned, self.response_model)
            response = JSONContent(content, self.status_code or 200)
            return self.preconditions.tagged(request, response, version_of(returned))

        answer.__signature__ = signature  # type: ignore[attr-defined]
        super().__init__(path, answer, **options)
        if (arguments := arguments_of(self)) is not None:
            self.app = answering(self._around(self._call_with(arguments)))
        if self._takes_upload:
            self.app = UploadLimit(self.app)

    @cached_property
    def _keys(self) -> KeyRules | None:
        return key_rules_of(self)

    @property
    def _takes_upload(self) -> bool:
        return self._keys is not None and self._keys.takes_upload

    @cached_property
    def preconditions(self) -> Preconditions:
        return Preconditions(self)

    def get_route_handler(self) -> Handler:
        """For a route whose arguments FastAPI finds, and for one in a router that is included in another one, which may
        add dependencies to it."""
        return self._around(super().get_route_handler())

    def _call_with(self, arguments: Arguments) -> Handler:
        async def call(request: Request) -> Response:
            response: Response = await self.endpoint(**await arguments.of(request))
            return response

        return call

    def _around(self, answer: Handler) -> Handler:
        """The query and the preconditions are read before anything else; a request without them pays nothing."""
        keys = self._keys
        once = answer if keys is None else answer_once(answer, keys)
        if self._takes_upload:
            run = without_leftovers(in_transaction(once, takes_upload=True))
        else:
            takes_one = keys is None and uses_database_itself not in dependencies_of(self)
            run = in_transaction(once, keeps_connection=takes_one)
        known = KnownQuery(self)

        async def handle(request: Request) -> Response:
            try:
                self.preconditions.read_headers(request)
                return await run(known.checked(request) if request.scope["query_string"] else request)
            except (ShopError, HTTPException, RequestValidationError):
                raise
            except Exception as error:
                raise InternalError from error

        return handle


def _with_request(endpoint: Callable[..., Any]) -> tuple[inspect.Signature, str, bool]:
    """An endpoint's signature with a request, the name of that parameter, and whether the endpoint itself has it."""
    signature = inspect.signature(endpoint, eval_str=True)
    for name, parameter in signature.parameters.items():
        if parameter.annotation is Request:
            return signature, name, True
    request = inspect.Parameter("_request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    return signature.replace(parameters=[*signature.parameters.values(), request]), request.name, False


ENDING = "(?:ies|y|s)?"


def _operation_id(route: APIRoute) -> str:
    """`orders.place` of `place_order`: the tag, and the function's name without the noun of the tag."""
    tag = str(route.tags[0]).replace("-", "_")
    before, _, noun = re.sub(f"{ENDING}$", "", tag).rpartition("_")
    its_noun = rf"(?:^|_)(?:{before}_)?{noun}{ENDING}(?=_|$)"
    return f"{tag}.{re.sub(its_noun, '', route.name, count=1).lstrip('_')}"


class Router(APIRouter):
    """The routes under one URL prefix, each in a transaction; `tag` is where /docs lists them."""

    def __init__(self, prefix: str, *, tag: str) -> None:
        super().__init__(
            prefix=prefix, tags=[tag], route_class=TransactionRoute, generate_unique_id_function=_operation_id
        )
        self.tag = tag
