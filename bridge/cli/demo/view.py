"""Displays the demo: tables on a terminal, otherwise one line per event. Decides nothing; main thread only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.cli.demo.story import Line, SensorRow, Story, WorkflowRow
from bridge.cli.views.plain_text import progress_bar
from bridge.cli.views.screen import Screen, phase_style, plain_table

_BAR_CELLS = 9
_MAX_SENSORS = 4
_MAX_WORKFLOWS = 12


class PlainView:
    """One line per event, with the time, after the lines of `heading`."""

    def __init__(self, heading: Sequence[str], clock: Callable[[], float] = time.time) -> None:
        self._heading = heading
        self._clock = clock

    def __enter__(self) -> Self:
        for line in self._heading:
            print(line)
        sys.stdout.flush()
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def tell(self, lines: Sequence[Line]) -> None:
        """Print them."""
        now = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        for line in lines:
            print(f"{now}  {line.kind:<8}  {line.text}")
        sys.stdout.flush()

    def tick(self) -> None:
        """Nothing changes by itself."""


class ScreenView(Screen):
    """Tables, for terminals of 80 by 24 and larger; `commands` returns lines for a number of columns."""

    def __init__(self, story: Story, title: str, commands: Callable[[int], Sequence[str]], console: Console) -> None:
        super().__init__(console)
        self._story = story
        self._title = title
        self._commands = commands
        self._notice = ""

    def tell(self, lines: Sequence[Line]) -> None:
        """Keep the latest failures visible; everything else is in the tables."""
        for line in lines:
            if line.is_bad:
                self._notice = f"{line.kind}: {line.text}"

    def tick(self) -> None:
        """Paint if it is time."""
        self._paint()

    def _picture(self) -> RenderableType:
        width, height = self._console.size
        commands = [Text(line, no_wrap=True, overflow="crop") for line in self._commands(width)]
        # Wrapped by hand, because wrapping at words would take a third line.
        notice = [self._notice[:width], self._notice[width : 2 * width]]
        notices = [Text(line, style="yellow", no_wrap=True, overflow="crop") for line in notice if line]
        sensors = list(self._story.sensors.values())[-_MAX_SENSORS:]
        # Title, both headings, a blank line, two lines of commands, and the cursor's line.
        room = height - len(commands) - len(sensors) - 7
        workflows = list(self._story.workflows.values())[-max(2, min(room, _MAX_WORKFLOWS)) :]
        title = Text(self._title, style="bold", no_wrap=True, overflow="ellipsis")
        return Group(title, _sensor_table(sensors), Text(), _workflow_table(workflows), *notices, *commands)


View = PlainView | ScreenView
"""`tick` is called a few times a second, whether or not anything happened."""


def _sensor_table(rows: Sequence[SensorRow]) -> Table:
    table = plain_table()
    table.add_column("sensor", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("last value", width=22, no_wrap=True, overflow="ellipsis")
    table.add_column("messages", justify="right", width=8)
    table.add_column("triggered", justify="right", width=9)
    for row in rows:
        table.add_row(Text(row.topic), Text(row.value), str(row.messages), str(len(row.workflows)))
    return table


def _workflow_table(rows: Sequence[WorkflowRow]) -> Table:
    table = plain_table()
    table.add_column("workflow", width=20, no_wrap=True, overflow="ellipsis")
    table.add_column("triggered by", width=15, no_wrap=True, overflow="ellipsis")
    table.add_column("status", width=9, no_wrap=True)
    table.add_column("progress", width=_BAR_CELLS + 5, no_wrap=True)
    table.add_column("message", ratio=1, no_wrap=True, overflow="ellipsis")
    for row in reversed(rows):
        status, style = row.status, phase_style(row.status.phase)
        bar = Text(f"{progress_bar(status.percent, _BAR_CELLS)} {status.progress:>4}", style=style)
        phase = Text(status.phase, style=style)
        table.add_row(Text(status.name), Text(row.source), phase, bar, Text(status.message))
    return table
