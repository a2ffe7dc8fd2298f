"""The world in the database of the app, and a sender of requests about it; an empty database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.databases import Backend
from tests.house.hostile_cases import DOCUMENT
from tests.house.hostile_sender import Sender
from tests.seed import Seed
from tests.support import Contract
from tests.world import World


@pytest.fixture(scope="module")
async def world(app: FastAPI, seed: Seed, anyio_backend: str) -> World:
    """Written once for each module: a test that changes rows calls `world.restore()` before or after."""
    return await World.write(app.state.database, seed)


@pytest.fixture(scope="module")
async def sender(app: FastAPI, contract: Contract, seed: Seed, anyio_backend: str) -> Sender:
    """The world is written once for each module: the sender undoes what its requests change."""
    return await Sender.of(app, contract, DOCUMENT, seed)


@pytest.fixture
def url(backend: Backend) -> Iterator[str]:
    """The URL of an empty database."""
    with backend.new_database() as url:
        yield url


@pytest.fixture
def drafts(tmp_path: Path) -> Path:
    """A folder for revisions that only this test knows."""
    return tmp_path
