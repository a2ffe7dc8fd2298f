"""The router that every file of `api/routers/` makes."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.web.idempotency import answer_once, takes_key
from api.web.transactions import Handler, in_transaction


class TransactionRoute(APIRoute):
    """A route that runs in a transaction and, under an `Idempotency-Key`, once."""

    def get_route_handler(self) -> Handler:
        answer = super().get_route_handler()
        return in_transaction(answer_once(answer) if takes_key(self) else answer)


class Router(APIRouter):
    """The routes under one URL prefix, each in a transaction; `tag` is where /docs lists them."""

    def __init__(self, prefix: str, *, tag: str) -> None:
        super().__init__(prefix=prefix, tags=[tag], route_class=TransactionRoute)
        self.tag = tag
