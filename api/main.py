"""The app, put together: lifespan, middleware, error handlers, routers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api import __version__
from api.database import Database
from api.errors import install_error_handlers
from api.middleware import TrailingSlash
from api.routers import categories
from api.settings import Settings, get_settings


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.database = Database(settings)
        yield
        await app.state.database.close()

    app = FastAPI(
        title=settings.shop_name,
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        max_body_size=settings.max_body_size,
    )
    app.state.settings = settings
    app.add_middleware(TrailingSlash)
    install_error_handlers(app)
    for each in (categories,):
        app.include_router(each.router)
    return app


app = create_app()
