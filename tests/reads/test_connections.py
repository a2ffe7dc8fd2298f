"""A route that reads never holds two connections, or a few requests would wait for each other until they time out."""

from inspect import signature

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.main import create_app
from api.reads.rows import Read
from api.settings import Settings
from tests.seed import Seed
from tests.web.support import settled_process
from tests.world import World

PATHS = sorted(
    route.path_format
    for route in create_app(Settings(_env_file=None)).routes
    if isinstance(route, APIRoute) and signature(route.endpoint).return_annotation is Read
)
SEARCHES = {"/users/search": {"q": "a"}}


@pytest.mark.parametrize("path", PATHS)
async def test_a_read_is_answered_with_one_connection(app: FastAPI, settings: Settings, seed: Seed, path: str) -> None:
    world = await World.write(app.state.database, seed)
    names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    filled = path.format(**{name: world.in_path(path, name) for name in names})
    one = {"database_pool_size": 1, "database_pool_timeout": 5}

    async with settled_process(settings, **one) as (_, client):
        client.headers["Authorization"] = f"Bearer {world.secrets['staff']}"
        response = await client.get(filled, params=SEARCHES.get(path, {}))

    assert response.status_code == 200, response.text
