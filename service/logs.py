"""Logs: one JSON object a line, or one readable line on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

# What every LogRecord has; the rest came with ``extra`` and belongs to the event.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def event_fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in STANDARD}


# json.dumps would make one for every line.
ENCODER = json.JSONEncoder(default=str)


@lru_cache(1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": ..., "logger": ..., "event": ..., ...}``; a traceback is one field."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.created % 1 * 1000):03}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **event_fields(record),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return ENCODER.encode(document)


# No line of a traceback, which holds what an exception says, begins like a line of ours.
INDENT = "    "


class PrettyFormatter(logging.Formatter):
    """``12:34:56 info  event  key=value ...``; what a caller chose may neither break the line nor steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        pairs = " ".join(f"{key}={_shown(value)}" for key, value in event_fields(record).items())
        line = f"{time} {record.levelname.lower():<7} {_printable(record.getMessage())}  {pairs}".rstrip()
        traceback = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n".join([line, *(INDENT + _printable(told) for told in traceback)])


def _shown(value: object) -> str:
    """Text with a space is quoted: what follows would look like another field."""
    return repr(value) if isinstance(value, str) and " " in value else _printable(str(value))


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)


def configure_logs(style: Literal["auto", "json", "pretty"] = "auto") -> None:
    """Send everything from info up to stderr, once; ``auto`` is pretty on a terminal."""
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrettyFormatter() if pretty else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in ("uvicorn.access", "uvicorn.error", "httpx", "httpcore"):
        # Our own lines say more; uvicorn warns of every request that it cannot read.
        logging.getLogger(name).setLevel(logging.ERROR if name == "uvicorn.error" else logging.WARNING)
