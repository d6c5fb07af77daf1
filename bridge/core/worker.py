"""A named thread that runs until it is stopped, and everything that must be told of it: start, stop, who is late.

No thread is a daemon: a process ends only once each was stopped and has ended.

Thread: whoever starts and stops it.
"""

from __future__ import annotations

import threading


class Worker:
    """Base of a part that has one thread. It implements `run`, and `_interrupt` where it waits for more than `_stop`.

    Liveness looks for the thread's name. A `stop` may be shared with others that end together.
    """

    def __init__(self, name: str, stop: threading.Event | None = None) -> None:
        self._stop = stop or threading.Event()
        self._thread = threading.Thread(target=self.run, name=name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, deadline_s: float) -> list[str]:
        """End the thread; returns its name if it did not end within `deadline_s` seconds."""
        self._stop.set()
        self._interrupt()
        if self._thread.ident is not None:
            self._thread.join(deadline_s)
        return [self._thread.name] if self._thread.is_alive() else []

    @property
    def thread_names(self) -> list[str]:
        """The thread that must run as long as the bridge does."""
        return [self._thread.name]

    def _interrupt(self) -> None:
        """End the current wait, so that the thread sees the stop."""

    def run(self) -> None:
        """Do the work, until `_stop` is set. Called on the thread."""
        raise NotImplementedError
