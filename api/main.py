"""The app, put together: lifespan, middleware, error handlers, routers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import __version__, logs
from api.database import Database
from api.docs import install_docs
from api.errors import install_error_handlers
from api.methods import Methods, install_method_errors
from api.middleware import PlainTextProblem, SecurityHeaders, TrailingSlash
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
    _add_middleware(app, settings)
    install_error_handlers(app)
    install_method_errors(app)
    install_openapi(app)
    install_docs(app)
    for part in ROUTERS:
        app.include_router(part.router)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one sees a request first."""
    app.add_middleware(Methods)
    app.add_middleware(TrailingSlash)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_size)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=settings.allowed_hosts, www_redirect=False)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Idempotent-Replayed", "Retry-After"],
        )
    app.add_middleware(PlainTextProblem)
    app.add_middleware(SecurityHeaders, only_https=settings.is_production)
    app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.forwarded_allow_ips))


app = create_app()
