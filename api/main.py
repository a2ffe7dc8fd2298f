"""The app, put together: lifespan, middleware, error handlers, routers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from api import __version__, logs
from api.database import Database
from api.docs import install_docs
from api.errors import install_error_handlers
from api.middleware import TooLargeProblem, TrailingSlash
from api.openapi import install_openapi
from api.routers import (
    accounts,
    auth,
    categories,
    health,
    notifications,
    orders,
    payments,
    posts,
    products,
    tags,
    users,
)
from api.settings import Settings, get_settings

ROUTERS = (
    health,
    auth,
    users,
    categories,
    products,
    orders,
    payments,
    accounts,
    posts,
    tags,
    notifications,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs.set_up(settings)
        app.state.database = Database(settings)
        yield
        await app.state.database.close()

    app = FastAPI(
        title=settings.shop_name,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # ours need no CDN: see api/docs.py
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.add_middleware(TrailingSlash)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_size)
    app.add_middleware(TooLargeProblem)
    install_error_handlers(app)
    install_openapi(app)
    install_docs(app)
    for part in ROUTERS:
        app.include_router(part.router)
    return app


app = create_app()
