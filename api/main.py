"""The app, put together: lifespan, middleware, error handlers, routers."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.cors import CORSMiddleware
from uvicorn.config import STARTUP_FAILURE

from api import routers
from api.admin.install import install_admin
from api.auth.callers import caller_id, tokens_of_staff
from api.auth.passwords import hash_slowly
from api.database.errors import DATABASE_ERRORS, message_of
from api.database.inspection import inspect
from api.database.search_texts import prepare_search
from api.database.sessions import Database
from api.errors import ShopError
from api.mail.pages import install_mail_pages
from api.openapi.docs import install_docs
from api.openapi.document import DocumentedAPI
from api.settings import InvalidSettings, Settings, get_settings
from api.telemetry import logs
from api.telemetry.metrics import metrics
from api.web.dispatch import install_dispatch
from api.web.error_handlers import install_error_handlers
from api.web.event_streams import EventStreams
from api.web.hosts import AllowedHosts
from api.web.middleware import BodyLimit, FinishedAnswers, ForwardedAddress
from api.web.preconditions import IF_MATCH, IF_NONE_MATCH
from api.worker.sampling import sample

logger = logging.getLogger(__name__)

HAS_TELEMETRY = any(name.startswith("OTEL_") for name in os.environ)
"""Whether the environment speaks of OpenTelemetry. Where it does not, no request asks whether it is switched on."""

TELEMETRY: TelemetryConfig = {
    "auto_configure": True,
    "tracing": HAS_TELEMETRY,
    "metrics": HAS_TELEMETRY,
    "logs": False,
    "operation_spans": False,
}
"""OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set. Its logs would hold what clients sent and mistook; spans of
dependencies would cost more than the dependencies."""

STOP_TIMEOUT = 1
"""Seconds for what was started beside the requests to end, and then to give back its connection: a server that is
silent never takes it."""

WORK_TIMEOUT = 6
"""Seconds for the worker to note what became of what it was sending: more than it takes for that by itself."""


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs.set_up(settings)
        metrics.start(settings)
        for each in settings.retired:
            logger.warning(each)
        app.state.database, stop = Database(settings), asyncio.Event()
        database = app.state.database
        works = [_inspect(database, settings), prepare_search(database), sample(database, stop)]
        app.state.started = [asyncio.create_task(_logged(each)) for each in works]
        if app.state.work is not None:
            worker = asyncio.create_task(_logged(app.state.work(database, settings, stop)))
            app.state.started.append(worker)
        _leave_alone_what_stays()
        yield
        stop.set()
        await app.state.event_streams.close()
        await asyncio.wait(app.state.started, timeout=STOP_TIMEOUT)
        if app.state.work is not None:
            await asyncio.wait([worker], timeout=WORK_TIMEOUT)
        for task in app.state.started:
            task.cancel()
        await asyncio.wait(app.state.started, timeout=STOP_TIMEOUT)
        await app.state.database.close()

    app = DocumentedAPI(settings, tags=routers.tag_texts(), lifespan=lifespan, telemetry=TELEMETRY)
    app.state.settings = settings
    app.state.work = None  # the worker, where it runs beside the requests
    app.state.identify = caller_id
    app.state.hash_slowly = hash_slowly
    app.state.event_streams = EventStreams(tokens_of_staff)
    _add_middleware(app, settings)
    install_error_handlers(app)
    install_docs(app)
    for router in routers.all_routers():
        app.router.routes.extend(router.routes)
    if settings.has_mail:
        install_mail_pages(app, settings)
    if settings.admin:
        install_admin(app, settings)
    install_dispatch(app)
    return app


async def _logged(started: Coroutine[Any, Any, None]) -> None:
    """Nobody waits for what is started beside the requests, so nobody else would hear of its error."""
    try:
        await started
    except Exception:
        logger.exception("what was started beside the requests ended with an error")


async def _inspect(database: Database, settings: Settings) -> None:
    """Say what is wrong with the database, beside the first requests: a start waits for nothing."""
    try:
        found = await inspect(database, settings)
    except (*DATABASE_ERRORS, ShopError) as error:
        found = [message_of(error)]
    for each in found:
        logger.warning(each)


def _leave_alone_what_stays() -> None:
    """Keep the garbage collector from going through the modules and routes: 100 ms in which no request is answered.

    What is garbage by now stays too: a hundred objects, for which it would have to go through all others once.
    """
    if gc.get_freeze_count() == 0:
        gc.freeze()


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The one that is added last sees a request first."""
    app.add_middleware(BodyLimit, max_body_size=settings.max_body_size)
    app.add_middleware(AllowedHosts, hosts=settings.allowed_hosts)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                IF_MATCH,
                IF_NONE_MATCH,
                "Last-Event-ID",
                "X-Request-ID",
                *settings.cors_headers,
            ],
            expose_headers=["ETag", "Idempotent-Replayed", "Retry-After", "X-Request-ID"],
        )
    app.add_middleware(FinishedAnswers, only_https=settings.is_production)
    app.add_middleware(ForwardedAddress, trusted_hosts=list(settings.forwarded_allow_ips))


def _app() -> FastAPI:
    """For uvicorn, which has set up its own logging by now, and logs its start when it has the app."""
    try:
        logs.set_up(get_settings())
        return create_app()
    except InvalidSettings as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(STARTUP_FAILURE) from None


app = _app()
