"""What the app starts beside the requests."""

import asyncio
import logging

import pytest

from api import main
from api.database.sessions import Database
from api.main import create_app
from api.settings import Settings


class TestStop:
    async def test_the_worker_may_note_what_it_was_doing(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise what it has sent would be sent again after the next start."""
        monkeypatch.setattr(main, "STOP_TIMEOUT", 0.1)
        noted = asyncio.Event()

        async def work(_database: Database, _settings: Settings, stop: asyncio.Event) -> None:
            await stop.wait()
            await asyncio.sleep(0.5)
            noted.set()

        app = create_app(settings)
        app.state.work = work
        async with app.router.lifespan_context(app):
            pass
        assert noted.is_set()


class TestStartedWork:
    async def test_an_error_that_nobody_expected_is_logged(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail(*_: object) -> None:
            raise ValueError("unexpected")

        monkeypatch.setattr(main, "inspect", fail)
        app = create_app(settings)

        with caplog.at_level(logging.ERROR, logger=main.__name__):
            async with app.router.lifespan_context(app):
                await asyncio.wait(app.state.started)

        (record,) = caplog.records
        assert record.getMessage() == "what was started beside the requests ended with an error"
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "unexpected"
