"""A line of the log, as JSON for machines or as text for people."""

import json
import logging
import re
import time
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as quoted
from types import TracebackType
from typing import NamedTuple

from api.telemetry.context import request_id, trace_id

VALUES = re.compile(
    r"(?:DETAIL|CONTEXT): .*|Duplicate entry '.*' for key"
    r"|value: '.*' for column|invalid input [^:]*: \".*\"|\[parameters: .*\]",
    re.DOTALL,
)
"""Where databases repeat values in their errors, and SQLAlchemy those of a statement. A value may have many lines, and
in them what looks like the end of a value, so each goes as far as its message lets it."""

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_second = (0, "")


def moment(seconds: float) -> str:
    """A time in UTC, as RFC 3339 writes it; most lines are of the same second as the line before."""
    global _second
    whole = int(seconds)
    known, text = _second
    if known != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = (whole, text)
    return f"{text}.{int((seconds - whole) * 1000):03d}Z"


class Access(NamedTuple):
    """What one request came to. `path` and `client` hold nothing personal: see `api/web/watching.py`."""

    method: str
    route: str
    path: str
    status: int
    seconds: float
    size: int
    """Bytes of the content."""
    client: str
    user_id: int | None
    caller: str
    """Which kind of caller."""
    is_cut_off: bool = False
    """Whether the answer had begun, and broke off by an error."""


class Lines(logging.Formatter):
    """Writes the lines of all loggers; an access line without the detour of a record."""

    def access(self, access: Access, now: float) -> str:
        raise NotImplementedError

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802 - the name that logging calls
        """A traceback without the values that a database repeats in its message."""
        text = super().formatException(ei)
        found: dict[str, str] = {}
        for message in sorted({str(each) for each in _chain(ei[1])}, key=len):
            shown = message
            for known, instead in found.items():  # SQLAlchemy's has the driver's in it, which ends there
                shown = shown.replace(known, instead)
            found[message] = VALUES.sub("[values hidden]", shown)
            if found[message] != shown:
                text = found[message].join(_as_shown(shown).split(text))
        return text


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, those that it came of, and those of a group: all that a traceback shows, and more."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def _as_shown(message: str) -> re.Pattern[str]:
    """A message as it stands in a traceback, where a group indents each of its lines."""
    return re.compile(r"\n[ |]*".join(map(re.escape, message.split("\n"))))


class JSONLines(Lines):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        fields |= {"request_id": request_id.get(), "trace_id": trace_id.get()}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        return json.dumps({name: value for name, value in fields.items() if value is not None})

    def access(self, access: Access, now: float) -> str:
        """Put together by hand: `json.dumps` would take as long as all the rest of the line."""
        method, route, path, status, seconds, size, client, user_id, caller, is_cut_off = access
        cut_off = ',"cut_off":true' if is_cut_off else ""
        user = "" if user_id is None else f',"user_id":{user_id}'
        trace = f',"trace_id":"{traced}"' if (traced := trace_id.get()) else ""
        return (
            f'{{"time":"{moment(now)}","level":"info","logger":"api.access","message":"{method} {path} {status}",'
            f'"method":"{method}","route":"{route}","path":"{path}","status":{status},"ms":{seconds * 1000:.1f},'
            f'"bytes":{size},"client":"{client}","caller":"{caller}"{user}{cut_off},'
            f'"request_id":{quoted(request_id.get() or "")}{trace}}}'
        )


class TextLines(Lines):
    """For people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.default_msec_format = "%s.%03dZ"
        self.default_time_format = "%Y-%m-%dT%H:%M:%S"
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging calls
        return super().formatMessage(record) + _ids()

    def access(self, access: Access, now: float) -> str:
        method, _, path, status, seconds, size, client, user_id, caller, is_cut_off = access
        came_to = f"{status} (cut off)" if is_cut_off else status
        who = caller if user_id is None else f"{caller} {user_id}"
        return (
            f"{moment(now)} INFO api.access: {method} {path} {came_to} in {seconds * 1000:.1f} ms, {size} bytes, "
            f"to {who} at {client}{_ids()}"
        )


def _ids() -> str:
    found = [each for each in (request_id.get(), trace_id.get()) if each]
    return f" [{' '.join(found)}]" if found else ""
