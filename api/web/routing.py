"""The router that every file of `api/routers/` makes."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.web.answers import json_of
from api.web.idempotency import answer_once, takes_key
from api.web.transactions import Handler, in_transaction


class TransactionRoute(APIRoute):
    """A route that runs in a transaction and, under an `Idempotency-Key`, once; `answers` writes what it returns."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Any]], **options: Any) -> None:
        @wraps(endpoint)
        async def answer(**arguments: Any) -> Any:
            returned = await endpoint(**arguments)
            if self.response_model is None or isinstance(returned, Response):
                return returned
            content = json_of(returned, self.response_model)
            return Response(content, self.status_code or 200, media_type="application/json")

        super().__init__(path, answer, **options)

    def get_route_handler(self) -> Handler:
        answer = super().get_route_handler()
        return in_transaction(answer_once(answer) if takes_key(self) else answer)


class Router(APIRouter):
    """The routes under one URL prefix, each in a transaction; `tag` is where /docs lists them."""

    def __init__(self, prefix: str, *, tag: str) -> None:
        super().__init__(prefix=prefix, tags=[tag], route_class=TransactionRoute)
        self.tag = tag
