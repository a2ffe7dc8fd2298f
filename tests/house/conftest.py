"""The world in the database of the app, and a sender of requests about it."""

import pytest
from fastapi import FastAPI

from tests.house.hostile_cases import DOCUMENT
from tests.house.hostile_sender import Sender
from tests.support import Contract, Seed
from tests.world import World


@pytest.fixture(scope="module")
async def world(app: FastAPI, seed: Seed, anyio_backend: str) -> World:
    """Written once for each module: a test that changes rows calls `world.restore()` before or after."""
    return await World.write(app.state.database, seed)


@pytest.fixture(scope="module")
async def sender(app: FastAPI, contract: Contract, seed: Seed, anyio_backend: str) -> Sender:
    """The world is written once for each module: the sender undoes what its requests change."""
    return await Sender.of(app, contract, DOCUMENT, seed)
