"""The templates of the pages, which escape everything that they write."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request

from api.admin.entities import Entities
from api.admin.words import label_of
from api.models.user import Caller
from api.settings import Settings
from api.web.assets import digest_of
from api.web.paths import path_of

FOLDER = Path(__file__).parent
ASSETS = FOLDER / "static"


class Pages:
    """Makes the HTML of pages."""

    def __init__(self, settings: Settings, entities: Entities) -> None:
        self.assets = f"/admin/static/{digest_of(ASSETS)}"
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters["label"] = label_of
        self._environment.globals |= {
            "shop": settings.shop_name,
            "currency": settings.currency,
            "listed": [each for each in entities.values() if each.is_listed],
            "parts": [each for each in entities.values() if not each.is_listed],
        }

    def url(self, request: Request, path: str = "/") -> str:
        """The URL of a page of the admin, below the prefix of a proxy."""
        root = request.scope.get("root_path", "")
        return f"{root}/admin{path}" if path != "/" else f"{root}/admin"

    def render(self, template: str, request: Request, user: Caller | None, **values: Any) -> str:
        def url(path: str = "/") -> str:
            return self.url(request, path)

        assets = request.scope.get("root_path", "") + self.assets
        return self._environment.get_template(template).render(
            url=url, user=user, place=path_of(request.scope), assets=assets, **values
        )
