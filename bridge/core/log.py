"""Logging: a sentence for people, fixed keys for machines, on the standard library's logging.

Console lines read ``14:03:07.120 INFO  pipeline.ingest  stored 12 events  connection=plant``; with
``format: json`` each line is one object. Payloads, tokens and headers are never logged.

Thread: any.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Any, TextIO

import orjson

from bridge.core.clock import rfc3339

ROOT = "bridge"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def logger(module: str) -> logging.Logger:
    """Return the logger of `module` (pass ``__name__``)."""
    return logging.getLogger(module)


def fields(**keys: Any) -> dict[str, Any]:
    """Return the ``extra=`` argument of a log call: the machine-readable keys of the line.

    The keys that mean the same thing everywhere: action, mapping, topic, event_id, workflow, attempt, delay_s,
    connection, code.
    """
    return keys


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class ConsoleFormatter(logging.Formatter):
    """One readable line a record; control characters are escaped so that a topic cannot forge lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with a traceback below it where there is one."""
        clock = rfc3339(record.created)[11:23]
        name = record.name.removeprefix(ROOT + ".")
        keys = "  ".join(f"{key}={_plain(value)}" for key, value in _extras(record).items())
        line = f"{clock} {record.levelname:<7} {name}: {_plain(record.getMessage())}"
        line = f"{line}  [{keys}]" if keys else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, message, and the record's keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as one line."""
        body: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            body["traceback"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(body, default=str).decode()
        except TypeError:
            # Text that UTF-8 cannot hold, or a huge integer; a line that is lost helps nobody.
            return json.dumps(body, default=str)


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def configure(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send the bridge's log to `stream` (stderr by default).

    Args:
        form: ``console`` or ``json``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        stream: a text stream.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    root = logging.getLogger(ROOT)
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


class Throttle:
    """Lets one log line a `period_s` through for each key, and counts what it held back.

    Thread: any.
    """

    def __init__(self, period_s: float = 60.0, max_keys: int = 10_000) -> None:
        self._period_s = period_s
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def allow(self, key: str, now_s: float) -> tuple[bool, int]:
        """Return whether to log now, and how many lines of `key` were held back since the last one."""
        with self._lock:
            since, held = self._seen.get(key, (float("-inf"), 0))
            if now_s - since < self._period_s:
                self._seen[key] = (since, held + 1)
                return False, held + 1
            if len(self._seen) >= self._max_keys:
                self._seen.clear()  # bounded: topics can be endless; losing the memory only logs once more
            self._seen[key] = (now_s, 0)
            return True, held
