"""Shows watched workflows on standard output: a table on a terminal, otherwise one line per change. Decides nothing.

Thread: the command's main thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.cli.views.plain_text import printable, progress_bar, shown_duration
from bridge.cli.views.screen import Screen, phase_style, plain_table
from bridge.cli.views.watch_story import Change, WatchStory
from bridge.cli.visit.status_message import WorkflowStatus
from bridge.core.clock import rfc3339

_BAR_CELLS = 10


class PlainWatch:
    """One line per change, with the time."""

    def __init__(self, wall_s: Callable[[], float] = time.time) -> None:
        self._wall_s = wall_s
        self._problem = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def changed(self, changes: Iterable[Change]) -> None:
        """Print them."""
        now = time.strftime("%H:%M:%S", time.localtime(self._wall_s()))
        for change in changes:
            print(f"{now}  {printable(change.line)}", flush=True)

    def tick(self, problem: str) -> None:
        """Report on standard error, once per reason, that the connection is lost, and that it is back ("")."""
        if problem != self._problem:
            print(f"not connected: {problem}" if problem else "connected again", file=sys.stderr, flush=True)
        self._problem = problem


class ScreenWatch(Screen):
    """A table, with a title of one line."""

    def __init__(
        self, story: WatchStory, title: str, console: Console, wall_s: Callable[[], float] = time.time
    ) -> None:
        super().__init__(console)
        self._story = story
        self._title = title
        self._wall_s = wall_s
        self._problem = ""

    def changed(self, changes: Iterable[Change]) -> None:
        """Do nothing: the next painting shows it."""

    def tick(self, problem: str) -> None:
        """Paint if it is time."""
        self._problem = problem
        self._paint()

    def _picture(self) -> RenderableType:
        # Title, heading, line of counts, line of the problem, and the cursor's line.
        rows = self._story.rows(self._console.size.height - 5)
        counts = "  ".join(f"{phase} {count}" for phase, count in self._story.counts.items()) or "no workflows yet"
        lines: list[RenderableType] = [_line(self._title, "bold"), self._table(rows), _line(counts, "dim")]
        if self._problem:
            lines.append(_line(f"not connected: {self._problem}", "yellow"))
        return Group(*lines)

    def _table(self, rows: Iterable[WorkflowStatus]) -> Table:
        table = plain_table()
        table.add_column("workflow", ratio=2, no_wrap=True, overflow="ellipsis")
        table.add_column("status", width=9, no_wrap=True)
        table.add_column("progress", width=_BAR_CELLS + 5, no_wrap=True)
        table.add_column("time", width=7, no_wrap=True, justify="right")
        table.add_column("message", ratio=3, no_wrap=True, overflow="ellipsis")
        now = rfc3339(self._wall_s())
        for row in rows:
            style = phase_style(row.phase)
            bar = Text(f"{progress_bar(row.percent, _BAR_CELLS)} {row.progress[:4]:>4}", style=style)
            ran = shown_duration(row.started_at, now if not row.has_ended else row.finished_at)
            cells = (Text(printable(row.ref)), Text(printable(row.phase), style=style), bar, Text(ran))
            table.add_row(*cells, Text(printable(row.message)))
        return table


WatchView = PlainWatch | ScreenWatch
"""`tick` is called a few times a second."""


def _line(text: str, style: str) -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")
