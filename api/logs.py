"""What is logged, and in which form."""

import logging

from api.settings import Settings


def set_up(settings: Settings) -> None:
    """Debug is for the shop's own loggers: those of some drivers would log the values of statements."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("api").setLevel(level)
    logging.getLogger("api.database.pools").setLevel(max(level, logging.WARNING))  # SQLAlchemy's own lines
    if not settings.access_log:  # uvicorn logs requests where this logger has a handler, its own or one above
        access = logging.getLogger("uvicorn.access")
        access.handlers.clear()
        access.propagate = False
    logging.getLogger("alembic.runtime.migration").addFilter(_is_applied_migration)


def _is_applied_migration(record: logging.LogRecord) -> bool:
    """Of migrations, log only those that are run."""
    return record.getMessage().startswith("Running")
