"""What is logged, in which form, and where to: the standard error, one line for each thing that happened.

All loggers write by one handler: those of uvicorn too, which sets up its own before it loads the app.
"""

import logging
import sys
import time

from api.settings import LogFormat, Settings
from api.telemetry.lines import Access, JSONLines, Lines, TextLines

OF_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access")

FORMS: dict[LogFormat, type[Lines]] = {LogFormat.JSON: JSONLines, LogFormat.TEXT: TextLines}


class StandardError(logging.Handler):
    """Writes to what is the standard error at that moment."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.lines = lines
        self.setFormatter(lines)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write(self.format(record))
        except Exception:
            self.handleError(record)


class Log:
    """The handler of this process, and whether requests are logged."""

    def __init__(self) -> None:
        self._handler: StandardError | None = None
        self.has_access = False

    def set_up(self, settings: Settings) -> None:
        """Debug is for the shop's own loggers: those of some drivers would log the values of statements."""
        level = logging.getLevelNamesMapping()[settings.log_level.upper()]
        root = logging.getLogger()
        for each in [each for each in root.handlers if isinstance(each, StandardError)]:
            root.removeHandler(each)
        self._handler = StandardError(FORMS[settings.log_form]())
        root.addHandler(self._handler)
        root.setLevel(max(level, logging.INFO))
        logging.getLogger("api").setLevel(level)
        logging.getLogger("api.database.pools").setLevel(max(level, logging.WARNING))  # SQLAlchemy's own lines
        _take_over(max(level, logging.INFO))
        logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # it names each of its own at a start
        migrations = logging.getLogger("alembic.runtime.migration")
        migrations.filters = [_is_applied_migration]
        self.has_access = settings.access_log and level <= logging.INFO

    def access(self, access: Access) -> None:
        """Log a request."""
        if self._handler is not None and self.has_access:
            write(self._handler.lines.access(access, time.time()))


def write(line: str) -> None:
    """One call writes a whole line, so that lines of several processes do not mix."""
    sys.stderr.write(f"{line}\n")


log = Log()


def set_up(settings: Settings) -> None:
    log.set_up(settings)


def _take_over(level: int) -> None:
    """Have uvicorn log as the shop does. It logs requests where its logger for them has a handler: the shop does so."""
    for name in OF_UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(level)
        logger.propagate = name != "uvicorn.access"


def _is_applied_migration(record: logging.LogRecord) -> bool:
    """Of migrations, log only those that are run."""
    return record.getMessage().startswith("Running")
