"""What the app starts beside the requests."""

import asyncio
import logging

import pytest

from api import main
from api.main import create_app
from api.settings import Settings


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
