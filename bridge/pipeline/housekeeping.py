"""Keeps the spool small: deletes done rows and old dead letters in small steps, and reads its figures.

Thread: ``housekeeping``. Never locks the spool for long.
"""

from __future__ import annotations

import logging

from bridge.core.errors import SpoolError
from bridge.core.log import SeldomLog, logger
from bridge.core.metrics import Metrics
from bridge.core.worker import Worker
from bridge.spool.records import SpoolFigures
from bridge.spool.store import Spool

_log = logger(__name__)

EVERY_S = 1.0
PURGE_STEP = 1000
PURGE_PAUSE_S = 0.01


class Housekeeping(Worker):
    """The housekeeping thread.

    Args:
        spool: the spool.
        metrics: gets the spool's gauges.
    """

    def __init__(self, spool: Spool, metrics: Metrics) -> None:
        super().__init__("housekeeping")
        self._spool = spool
        self._metrics = metrics
        self._seldom = SeldomLog(_log, spool.age.now_s)
        self._problem: SpoolError | None = None
        self._figures = spool.figures()

    @property
    def figures(self) -> SpoolFigures:
        """Return the figures of the last round. Thread: any."""
        return self._figures

    @property
    def problem(self) -> SpoolError | None:
        """Return why the spool was unusable in the last round, or None. Thread: any."""
        return self._problem

    def run(self) -> None:
        """Run on the thread."""
        while not self._stop.wait(EVERY_S):
            try:
                self._round()
                self._problem = None
            except SpoolError as error:
                self._problem = error
                text = "the spool is not usable: %s"
                self._seldom.warning(error.code, text, error, level=logging.ERROR, action="spool", code=error.code)

    def _round(self) -> None:
        # A pause between the steps: a lock that is taken again at once gives nobody else a turn.
        while self._spool.purge(PURGE_STEP) > 0 and not self._stop.wait(PURGE_PAUSE_S):
            pass
        self._figures = self._spool.figures()
        self._metrics.spool_waiting.set(self._figures.waiting)
        self._metrics.spool_bytes.set(self._figures.bytes)
