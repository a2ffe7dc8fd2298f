"""`python -m api`: bring the database up to date and serve the shop."""

import argparse
import socket

import uvicorn
from sqlalchemy.exc import IntegrityError

from api.commands import setup
from api.commands.command import Command, CommandFailed, with_database
from api.settings import Settings

BACKLOG = 2_048
"""Connections that wait to be accepted; uvicorn's own default."""

GRACEFUL_SHUTDOWN = 10
"""Seconds that open requests have at a stop: a client has its answer within ten."""


def serve(settings: Settings, options: argparse.Namespace) -> int:
    with _listen(settings.host, settings.port) as listener:
        setup.migrate(settings)
        _introduce_admin(settings)
        print(f"The documentation is at {_address(listener)}/docs", flush=True)
        server = uvicorn.Server(
            uvicorn.Config(
                "api.main:app",
                log_config=None,
                log_level=settings.log_level,
                timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
                proxy_headers=False,  # the app reads those itself, by FORWARDED_ALLOW_IPS
                server_header=False,
            )
        )
        server.run(sockets=[listener])
    return 0 if server.started else 1


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


def _listen(host: str, port: int) -> socket.socket:
    """Take the port, before anything else is done; 0 is any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise CommandFailed(f"cannot listen on {host} port {port}: {reason}") from error


def _address(listener: socket.socket) -> str:
    """The address that a browser on this computer opens."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


command = Command("serve", "bring the database up to date and serve the shop (the default)", serve)
