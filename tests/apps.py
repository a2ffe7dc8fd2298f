"""Other processes of the shop: apps beside that of the fixture `app`, with settings and connections of their own."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api.main import create_app
from api.settings import Settings

_unused: defaultdict[str, list[FastAPI]] = defaultdict(list)
"""Apps that have stopped, by their settings. FastAPI prepares all routes of a new one, which takes 0.2 seconds."""


@asynccontextmanager
async def running(settings: Settings, **changes: Any) -> AsyncIterator[FastAPI]:
    """An app that has started, with some settings changed. Its pool and its write slots are its own."""
    changed = settings.model_copy(update=changes)
    unused = _unused[repr(changed)]
    app = unused.pop() if unused else create_app(changed)
    async with app.router.lifespan_context(app):
        yield app
    unused.append(app)
