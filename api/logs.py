"""What is logged, and how it looks."""

import logging

from api.settings import Settings


def set_up(settings: Settings) -> None:
    """Debug is for the shop's own loggers: some drivers' would tell what the statements hold."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("api").setLevel(level)
    logging.getLogger("alembic.runtime.migration").addFilter(_is_done)


def _is_done(record: logging.LogRecord) -> bool:
    """Of migrations, what is run, and not what would be if it had to."""
    return record.getMessage().startswith("Running")
