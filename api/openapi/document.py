"""The OpenAPI document: what FastAPI derives from the routes, made true and pleasant to read.

FastAPI knows the models and the parameters. What it cannot know is said in this room, once for all routes: the shape of
every error, which routes read a token and which demand one, and that an answer always holds all of its fields.
"""

from typing import Any

from fastapi import FastAPI

from api import __version__
from api.models.audit_entry import MAX_REQUEST_ID_LENGTH
from api.openapi.framework_internals import documented_routes
from api.openapi.links import add_links
from api.openapi.nodes import Json, operations, reachable
from api.openapi.operations import finish_operation
from api.openapi.schemas import finish_schemas, problem_schemas
from api.openapi.texts import DESCRIPTION, SUMMARY
from api.openapi.webhooks import webhooks
from api.settings import Settings
from api.web.problems import BY_SETTING


class DocumentedAPI(FastAPI):
    """FastAPI with the finished document. `tags` are in the order in which /docs shows them."""

    def __init__(self, settings: Settings, *, tags: list[dict[str, str]], **options: Any) -> None:
        super().__init__(
            title=settings.shop_name,
            version=__version__,
            summary=SUMMARY,
            description=DESCRIPTION.format(currency=settings.currency, request_id_length=MAX_REQUEST_ID_LENGTH).strip(),
            license_info={"name": "MIT", "identifier": "MIT"},
            openapi_tags=tags,
            docs_url=None,  # FastAPI's pages need a CDN; ours are in docs.py
            redoc_url=None,
            servers=[{"url": "/"}],  # wherever the document was read
            redirect_slashes=False,
            **options,
        )
        self._settings = settings

    def openapi(self) -> Json:
        known = self.openapi_schema
        document = super().openapi()
        if document is not known:  # FastAPI keeps what it derived, and derives it again where a route was added
            self._finish(document)
        return document

    def _finish(self, document: Json) -> None:
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        schemas.update(problem_schemas())
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape, which no route answers with
            schemas.pop(name, None)
        components.setdefault("securitySchemes", {})["BearerToken"] = {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, or a token from `POST /auth/token`.",
        }
        for route in documented_routes(self):
            path = document["paths"].get(route.path, {})
            for method in route.methods & path.keys():
                finish_operation(path[method], route)
        self._leave_out_what_is_off(document)
        document["webhooks"], envelopes = webhooks()
        for name, schema in envelopes.items():
            schemas.setdefault(name, schema)  # a Read class is described already
        add_links(document)
        finish_schemas(document)
        components["schemas"] = dict(sorted(components["schemas"].items()))

    def _leave_out_what_is_off(self, document: Json) -> None:
        """Responses that a setting brings, and their schemas: clients of a shop without it need not expect them."""
        schemas, left_out = document["components"]["schemas"], list[Json]()
        for responses in (each["responses"] for each in operations(document)):
            for status, response in list(responses.items()):
                setting = response.pop(BY_SETTING, None)
                if setting is not None and not getattr(self._settings, setting):
                    left_out.append(responses.pop(status))
        for name in reachable(document, left_out) - reachable(document, operations(document)):
            del schemas[name]
