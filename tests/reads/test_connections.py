"""A route that reads never holds two connections, or a few requests would wait for each other until they time out."""

from time import monotonic

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlmodel import update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.main import create_app
from api.models.token import Token
from api.settings import Settings
from tests.seed import Seed
from tests.web.support import settled_process
from tests.world import World

STREAM = "/events/stream"
"""Has no end; its test is in tests/routes/events/."""

PATHS = sorted(
    route.path_format
    for route in create_app(Settings(_env_file=None)).routes
    if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and route.path_format != STREAM
)
SEARCHES = {"/users/search": {"q": "a"}}
TIMEOUT = 5


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("was_used", [True, False], ids=["used token", "unused token"])
async def test_a_read_is_answered_with_one_connection(
    app: FastAPI, settings: Settings, session: AsyncSession, seed: Seed, path: str, was_used: bool
) -> None:
    """The use of a token is noted once an hour, by a connection of its own."""
    world = await World.write(app.state.database, seed)
    if not was_used:
        await session.exec(update(Token).values(last_used_at=None))
        await session.commit()
    names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    filled = path.format(**{name: world.in_path(path, name) for name in names})
    one = {"database_pool_size": 1, "database_pool_timeout": TIMEOUT}

    async with settled_process(settings, **one) as (_, client):
        client.headers["Authorization"] = f"Bearer {world.secrets['staff']}"
        began = monotonic()
        response = await client.get(filled, params=SEARCHES.get(path, {}))
        took = monotonic() - began

    assert response.status_code == 200, response.text
    assert took < TIMEOUT, "it waited for itself"
