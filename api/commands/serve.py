"""`python -m api`: bring the database up to date and serve the shop."""

import argparse
import socket
from math import ceil

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import IntegrityError

from api.commands import setup
from api.commands.command import Command, with_database
from api.commands.listening import listening, name_of, url_for_browsers
from api.settings import Settings
from api.web.server import ShopProtocol
from api.web.transactions import LONGEST_REQUEST
from api.worker.running import work

GRACEFUL_SHUTDOWN = ceil(LONGEST_REQUEST)
"""Seconds that open requests have at a stop, so that each is answered. The `Procfile` says the same."""


def serve(settings: Settings, options: argparse.Namespace) -> int:
    with listening(settings.host, settings.port) as listeners:
        setup.migrate(settings)
        _introduce_admin(settings)
        introduce(listeners)
        from api.main import app  # which is made, by the same settings, when it is imported

        return run(app, settings, listeners)


def run(app: FastAPI, settings: Settings, listeners: list[socket.socket]) -> int:
    """Serve an app until it is stopped, with the worker beside the requests, and return the exit code."""
    app.state.work = work if settings.worker else None
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level=settings.log_level,
            http=ShopProtocol,
            timeout_keep_alive=settings.keep_alive,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
            proxy_headers=False,  # the app reads those itself, by FORWARDED_ALLOW_IPS
            server_header=False,
        )
    )
    server.run(sockets=listeners)
    return 0 if server.started else 1


def introduce(listeners: list[socket.socket]) -> None:
    """Say on what the shop really listens, where the address of its documentation does not say all of it."""
    url, names = url_for_browsers(listeners), [name_of(each) for each in listeners]
    if names != [url]:
        print(f"Listening on {', '.join(names)}", flush=True)
    if url is not None:
        print(f"The documentation is at {url}/docs", flush=True)


def _introduce_admin(settings: Settings) -> None:
    try:
        admin = with_database(settings, setup.create_first_admin)
    except IntegrityError:
        print(
            "There is no staff user, and a customer has the username or e-mail address of admin. "
            "Run python -m api create-admin.",
            flush=True,
        )
    else:
        if admin is not None:
            print(
                f"Sign in as {admin.username} with the password {admin.password} - it is not shown again.", flush=True
            )


command = Command("serve", "bring the database up to date and serve the shop (the default)", serve)
