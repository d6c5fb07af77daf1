"""``argo-bridge run``: runs one bridge in the foreground, until SIGTERM or SIGINT.

The first signal finishes the work in progress and publishes ``offline``. A second one ends at once, also without loss:
acknowledged messages are committed, work in progress is repeated after the next start (docs/design/promises.md).
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from bridge.cli import exit_codes
from bridge.core import log
from bridge.core.log import fields
from bridge.service.composition import Service
from bridge.settings.configuration import Loaded, load

STOP_DEADLINE_S = 15.0
LOOK_S = 1.0

_log = log.logger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Run the bridge in the foreground until SIGTERM or Ctrl-C. Exit code 0: stopped, 1: the configuration is "
        "invalid (all problems are printed), 2: wrong usage, 3: a thread of the bridge ended."
    )
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the bridge.yaml to run")
    parser.set_defaults(handler=run_run)


def run_run(args: argparse.Namespace) -> int:
    """Run one bridge; 0 after a signal."""
    stop = _Signals()
    loaded = load(args.config, os.environ)
    for problem in loaded.problems:
        print(problem.render(), file=sys.stderr)
    if not loaded.ok or loaded.settings is None:
        return exit_codes.PROBLEMS
    log.configure(loaded.settings.log.format.value, loaded.settings.log.level.value)
    return _run(loaded, stop)


class _Signals:
    """Turns the first SIGTERM or SIGINT into an event, and ends the process on the second; ignores SIGHUP."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

        # Sent by a broken terminal, and by supervisors to have files read again.
        signal.signal(signal.SIGHUP, self._on_hangup)

    @staticmethod
    def _on_hangup(_number: int, _frame: FrameType | None) -> None:
        text = "SIGHUP: ignored; a changed configuration is read at the next start"
        _log.info(text, extra=fields(action="hangup"))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.asked.is_set():
            os._exit(exit_codes.INTERRUPTED)  # deliberately without clean-up: that was requested
        _log.info("%s: finishing the work in progress", signal.Signals(number).name, extra=fields(action="stop"))
        self.asked.set()


def _run(loaded: Loaded, signals: _Signals) -> int:
    if loaded.settings is None:
        return exit_codes.PROBLEMS
    service = Service(loaded.settings, loaded.compiled)
    code = exit_codes.OK
    service.start()
    # What is there now stays. The hot paths make no cycles, so a collection finds little and looks at all of a backlog.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    while not signals.asked.wait(LOOK_S):
        ended = service.liveness()
        if ended:
            for reason in ended:
                _log.critical("%s; ending the process", reason.message, extra=fields(action="stop", code=reason.code))
            code = exit_codes.UNEXPECTED
            break
    late = service.stop(STOP_DEADLINE_S)
    if late:
        _log.error("did not end in time: %s", ", ".join(late), extra=fields(action="stop"))
        os._exit(code or exit_codes.UNEXPECTED)  # their threads would keep the process alive forever
    return code
