"""The one place where the admin leans on what FastAPI does not promise: what a route reads from a body and a query.

`tests/admin/test_entities.py` fails where an upgrade changes it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from api.models.types import SECRET
from api.web.framework_internals import query_fields
from api.web.key_rules import key_rules_of


class ApiRoute(NamedTuple):
    """A route of the API, as the admin's forms need it."""

    method: str
    path: str
    name: str
    summary: str
    description: str
    body: type[BaseModel] | None
    query: dict[str, FieldInfo]
    takes_key: bool
    """Whether it takes an `Idempotency-Key`."""
    secrets: tuple[str, ...] = ()
    """The fields of its answer that are shown this once."""

    def path_of(self, row_id: int) -> str:
        return self.path.replace("{id}", str(row_id))


def api_routes(app: FastAPI) -> Iterator[ApiRoute]:
    """Every route, once for each of its methods, in their order."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            keys = key_rules_of(route)
            for method in sorted(route.methods or ()):
                yield ApiRoute(
                    method=method,
                    path=route.path_format,
                    name=route.name,
                    summary=route.summary or route.name.replace("_", " ").capitalize(),
                    description=route.description,
                    body=_body_of(route),
                    query=query_fields(route),
                    takes_key=keys is not None and keys.refusal is None,
                    secrets=_secrets_in(route.response_model),
                )


def _secrets_in(answer: Any) -> tuple[str, ...]:
    is_class = isinstance(answer, type) and issubclass(answer, BaseModel)
    return tuple(name for name, field in answer.model_fields.items() if SECRET in field.metadata) if is_class else ()


def _body_of(route: APIRoute) -> type[BaseModel] | None:
    """The class of the JSON object that a route reads; `None` where it reads none, or something else."""
    body: Any = None if route.body_field is None else route.body_field.field_info.annotation
    return body if isinstance(body, type) and issubclass(body, BaseModel) else None
