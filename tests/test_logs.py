"""Logging: which loggers have which level."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from api import logs
from api.main import create_app
from api.settings import Settings


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    """The loggers are as before at the end of a test."""
    levels = {name: logging.getLogger(name).level for name in ("api", "alembic.runtime.migration")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("alembic.runtime.migration").filters.clear()


class TestLogs:
    def test_the_debug_level_is_only_for_the_loggers_of_the_shop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """At this level, drivers log the values of statements, and with them the hashes of passwords."""
        basic: dict[str, Any] = {}
        monkeypatch.setattr(logging, "basicConfig", lambda **options: basic.update(options))
        logs.set_up(Settings(_env_file=None, log_level="debug"))
        assert basic["level"] == logging.INFO
        assert logging.getLogger("api").level == logging.DEBUG
        logs.set_up(Settings(_env_file=None, log_level="error"))
        assert basic["level"] == logging.ERROR

    @pytest.mark.parametrize("level", ["debug", "warning"])
    async def test_the_level_of_the_settings_counts_for_an_app_that_uvicorn_starts(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, level: Literal["debug", "warning"]
    ) -> None:
        """The Procfile starts the app with uvicorn, and not with `python -m api`."""
        monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
        app = create_app(Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'shop.db'}", log_level=level))
        async with app.router.lifespan_context(app):
            assert logging.getLogger("api").level == logging.getLevelNamesMapping()[level.upper()]
