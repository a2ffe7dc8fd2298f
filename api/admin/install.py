"""The admin's pages, put into the app."""

from functools import partial

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.admin import dashboard, form_pages, import_page, mail_preview, row_pages, sign_in
from api.admin.endpoints import Endpoint, Visits
from api.admin.entities import Entities
from api.admin.sent_forms import MAX_BESIDE_FILE
from api.admin.tasks import TASKS
from api.admin.templates import ASSETS, Pages
from api.admin.visits import Visit, no_such_page
from api.settings import Settings
from api.web.assets import Assets
from api.web.uploads import UploadLimit

PATHS = {
    "create": "/admin/{entity}/new",
    "edit": "/admin/{entity}/{id}/edit",
    "delete": "/admin/{entity}/{id}/delete",
    "action": "/admin/{entity}/{id}/do/{action}",
}
"""Where each kind of form is."""


def install_admin(app: FastAPI, settings: Settings) -> None:
    """Serve the admin at /admin. The app has all of its routes by now."""
    entities = Entities(app)
    pages = Pages(settings, entities)
    visits = Visits(pages, entities)
    takes_file = UploadLimit(request_response(visits.uploading(import_page.send)), MAX_BESIDE_FILE)
    routes = [
        Mount(pages.assets, Assets(directory=ASSETS)),
        Route("/admin", visits.reading(dashboard.show)),
        Route("/admin/sign-in", visits.open_to_all(sign_in.show)),
        Route("/admin/sign-in", visits.open_to_all(sign_in.sign_in), methods=["POST"]),
        Route("/admin/sign-out", visits.open_to_all(sign_in.sign_out), methods=["POST"]),
        *(Route(PATHS[kind], visits.reading(partial(form_pages.show, kind=kind))) for kind in TASKS),
        *(Route(PATHS[kind], visits.acting(partial(form_pages.send, kind=kind)), methods=["POST"]) for kind in TASKS),
        Route("/admin/{entity}/suggest", visits.reading(form_pages.suggest)),
        Route("/admin/{entity}/export.csv", visits.reading(row_pages.export)),
        Route("/admin/{entity}/import", visits.reading(import_page.show)),
        Route("/admin/{entity}/import", takes_file, methods=["POST"]),
        Route("/admin/{entity}/all.csv", visits.reading(import_page.download)),
        Route("/admin/mails/{id}/preview", visits.reading(mail_preview.show)),
        Route("/admin/mails/{id}/preview.html", visits.reading(mail_preview.show_html)),
        Route("/admin/{entity}/{id}", visits.reading(row_pages.row_page)),
        Route("/admin/{entity}", visits.reading(row_pages.list_page)),
    ]
    nowhere = _Nowhere(visits.reading(_no_page))
    paths = ("/admin", "/admin/{path:path}")
    admin = Router([*routes, *(Route(path, nowhere) for path in paths)], redirect_slashes=False)
    # No mount, so that the pages see the paths that the browser sees.
    app.router.routes += [Route(path, _Whole(admin)) for path in paths]


class _Whole:
    """An app as the endpoint of a route, with all of its methods."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Nowhere:
    """What answers a path that is no page, whatever the method is."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive))
        await response(scope, receive, send)


async def _no_page(visit: Visit) -> Response:
    raise no_such_page()
