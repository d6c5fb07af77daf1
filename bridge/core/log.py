"""Logging on the standard library: a sentence for people, fixed keys for machines.

Console lines read ``14:03:07.120 INFO  pipeline.ingest  stored 12 events  connection=plant``; with
``format: json`` each line is one object. Payloads, tokens and headers are never logged.

A flood cannot fill the disk: texts and values are cut (a topic alone may have 64 KiB), and each place in the code logs
at most `LINES_A_MINUTE` lines of one code per minute.

Thread: any.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

import orjson

from bridge.core.clock import rfc3339
from bridge.core.errors import cut
from bridge.core.foreign import conceal, harmless_json

ROOT = "bridge"
MAX_VALUE = 200
"""Maximum characters of one key's value."""
MAX_TEXT = 500
"""Maximum characters of the sentence."""
MAX_TRACEBACK = 16_000
LINES_A_MINUTE = 60
"""For each place in the code and each code; further lines are counted, and the next line says how many."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def logger(module: str) -> logging.Logger:
    """Return the logger of `module` (pass ``__name__``)."""
    return logging.getLogger(module)


def fields(**keys: Any) -> dict[str, Any]:
    """Return the ``extra=`` argument of a log call: the machine-readable keys of the line.

    Keys that mean the same everywhere: action, mapping, topic, event_id, workflow, attempt, delay_s, connection, code.
    """
    return keys


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: _cut(value) for key, value in vars(record).items() if key not in _STANDARD}


def _cut(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float) else cut(str(value), MAX_VALUE)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = formatter.formatException(record.exc_info) if record.exc_info else ""
    return text if len(text) <= MAX_TRACEBACK else f"{text[: MAX_TRACEBACK // 2]}\n…\n{text[-MAX_TRACEBACK // 2 :]}"


class ConsoleFormatter(logging.Formatter):
    """Formats a record as one readable line; control characters are escaped so that a topic cannot forge lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if there is one."""
        clock = rfc3339(record.created)[11:23]
        name = record.name.removeprefix(ROOT + ".")
        keys = "  ".join(f"{key}={_plain(value)}" for key, value in _extras(record).items())
        line = f"{clock} {record.levelname:<7} {name}: {_plain(cut(record.getMessage(), MAX_TEXT))}"
        line = f"{line}  [{keys}]" if keys else line
        return conceal(f"{line}\n{_traceback(self, record)}" if record.exc_info else line)


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object: time, level, logger, message, and the record's keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as one line."""
        body: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": cut(record.getMessage(), MAX_TEXT),
            **_extras(record),
        }
        if record.exc_info:
            body["traceback"] = _traceback(self, record)
        try:
            line = orjson.dumps(body, default=str).decode()
        except TypeError:
            # Text that UTF-8 cannot encode, or a huge integer; losing the line would help nobody.
            line = json.dumps(body, default=str)
        return harmless_json(conceal(line))


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class LineBudget(logging.Filter):
    """Allows `LINES_A_MINUTE` lines for each place in the program that logs, and each code."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line may be written; the first one after a flood says how many were suppressed."""
        place = (record.pathname, record.lineno, str(getattr(record, "code", "")))
        with self._lock:
            now_s = self._monotonic()
            since_s, count = self._lines.get(place, (now_s, 0))
            if now_s - since_s >= 60:
                if count > LINES_A_MINUTE:
                    record.lines_held_back = count - LINES_A_MINUTE
                since_s, count = now_s, 0
            self._lines[place] = (since_s, count + 1)
            return count < LINES_A_MINUTE


def configure(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send the bridge's log to `stream` (stderr by default), as ``console`` or ``json``."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(LineBudget())
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    root = logging.getLogger(ROOT)
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


class Throttle:
    """Allows one log line per `period_s` for each key, and counts the suppressed ones. Thread: any.

    There can be any number of long keys, such as topics; numbers are kept for the last `max_keys`. After a key was
    forgotten, its next line may come too early; `LineBudget` limits how many.
    """

    def __init__(self, period_s: float = 60.0, max_keys: int = 10_000) -> None:
        self._period_s = period_s
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[float, int]] = {}

    def allow(self, key: str, now_s: float) -> tuple[bool, int]:
        """Return whether to log now, and how many lines of `key` were suppressed since the last one."""
        place = hash(key)
        with self._lock:
            since, held = self._seen.get(place, (float("-inf"), 0))
            if now_s - since < self._period_s:
                self._seen[place] = (since, held + 1)
                return False, held + 1
            # Moved to the end: the first is the one that was logged longest ago.
            self._seen.pop(place, None)
            self._seen[place] = (now_s, 0)
            if len(self._seen) > self._max_keys:
                del self._seen[next(iter(self._seen))]
            return True, held


class SeldomLog:
    """Writes one line per minute for each key; the next line says in ``held_back`` how many were suppressed."""

    def __init__(self, log: logging.Logger, now_s: Callable[[], float]) -> None:
        self._log = log
        self._now_s = now_s
        self._throttle = Throttle()

    def warning(
        self,
        key: str,
        text: str,
        *values: object,
        level: int = logging.WARNING,
        error: Exception | None = None,
        **keys: Any,
    ) -> bool:
        """Write a line if one is due for `key`; return whether it was written.

        `text` has ``%s`` for each of `values`; `error` adds its traceback; `keys` are those of `fields`.
        """
        is_due, held_back = self._throttle.allow(key, self._now_s())
        if is_due:
            extra = keys | ({"held_back": held_back} if held_back else {})
            # The caller's line, because each place has its own limit.
            self._log.log(level, text, *values, exc_info=error, extra=extra, stacklevel=2)
        return is_due
