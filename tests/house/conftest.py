"""The world in the database of the app, for the tests of what holds for every entity."""

import pytest
from fastapi import FastAPI

from tests.support import Seed
from tests.world import World


@pytest.fixture(scope="module")
async def world(app: FastAPI, seed: Seed, anyio_backend: str) -> World:
    """Written once for each module: a test that changes rows calls `world.restore()` before or after."""
    return await World.write(app.state.database, seed)
