"""Report files for unexpected exceptions: what happened and where, without payloads or secrets.

An unexpected exception while handling one message, row or frame never ends a thread: the item is dead-lettered as
``internal-error``, and this file has what a bug report needs.

Thread: any.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from bridge import __version__
from bridge.core.clock import Clock, rfc3339
from bridge.core.foreign import conceal_bytes
from bridge.core.log import fields, logger

if TYPE_CHECKING:
    from bridge.core.metrics import Metrics  # imported late: the command line starts faster without it

_log = logger(__name__)

MAX_REPORTS = 50


class ReportWriter:
    """Writes reports into one folder, at most `MAX_REPORTS`; the oldest are deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()

    def write(self, where: str, error: BaseException, wall_s: float, **facts: object) -> Path | None:
        """Write one report; returns the file, or None where the disk does not take it: it must not make things worse.

        Args:
            where: the place that caught it, e.g. ``ingest``.
            error: the exception, with its traceback.
            wall_s: wall time of the event.
            facts: what is needed to reproduce it; never payloads or secrets.
        """
        body = {
            "where": where,
            "time": rfc3339(wall_s),
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "error": "".join(traceback.format_exception(error)),
            **facts,
        }
        try:
            self._folder.mkdir(0o700, parents=True, exist_ok=True)
            for old in sorted(self._folder.glob("report-*.json"))[: -MAX_REPORTS + 1]:
                old.unlink(missing_ok=True)
            # Names sort by time, even in 1970; the number distinguishes two in the same millisecond.
            name = f"report-{int(wall_s * 1000):015d}-{next(self._numbers):06d}-{where}.json"
            path = self._folder / name
            # Readable by the bridge's user only; an existing file of this name is never written to.
            with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(conceal_bytes(_text_of(body)))
        except OSError:
            return None
        return path


class ErrorReports(ReportWriter):
    """The reports of a running bridge; each is also counted (``internal_errors``) and logged."""

    def __init__(self, folder: Path, metrics: Metrics, clock: Clock) -> None:
        super().__init__(folder)
        self._metrics = metrics
        self._clock = clock

    def unexpected(self, where: str, error: Exception, **facts: object) -> Path | None:
        """Count, report and log an unexpected exception; arguments and result as for `write`."""
        self._metrics.internal_errors.labels(where).inc()
        path = self.write(where, error, self._clock.wall_s(), **facts)
        keys = fields(action=where, **facts)
        # The caller's line, because each place has its own limit.
        _log.error("unexpected error: %r; report: %s", error, path, exc_info=error, extra=keys, stacklevel=2)
        return path


def _text_of(body: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(body, default=str, option=orjson.OPT_INDENT_2)
    except TypeError:
        # Text that UTF-8 cannot encode, such as a topic; it may be the cause of the report.
        return json.dumps(body, default=str, indent=2).encode()
