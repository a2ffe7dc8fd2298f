"""An environment for the command line, and databases for its commands."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.settings import Settings, get_settings
from tests.databases import Backend
from tests.support import ROOT


@pytest.fixture
def url(backend: Backend) -> Iterator[str]:
    """The URL of an empty database."""
    with backend.new_database() as url:
        yield url


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An empty folder, and no settings but a free port. Signal handlers and loggers are restored at the end."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PORT", "0")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    levels = {name: logging.getLogger(name).level for name in ("api", "alembic.runtime.migration")}
    yield monkeypatch
    get_settings.cache_clear()
    signal.signal(signal.SIGTERM, on_sigterm)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("alembic.runtime.migration").filters.clear()


@pytest.fixture
def migrated(migrated: str, environment: pytest.MonkeyPatch) -> str:
    """The URL of a database with all tables, which the command line uses."""
    environment.setenv("DATABASE_URL", migrated)
    return migrated
