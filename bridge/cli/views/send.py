"""Shows the progress of a command that uses a bridge, on standard error: live on a terminal, otherwise as plain lines.

Decides nothing. Text from outside is made harmless. Thread: the command's main thread (rich repaints the spinner on its
own).
"""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from bridge.cli.views.plain_text import printable, progress_bar
from bridge.cli.visit.request import Reply
from bridge.cli.visit.status_message import WorkflowStatus

_MAX_DETAILS = 10


class SendView:
    """The progress of one message, on standard error unless a console is given."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._status: Status | None = None
        self._said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rest()

    def say(self, text: str) -> None:
        """Write one line."""
        self._console.print(printable(text))

    def wait_for(self, text: str) -> None:
        """Show what the command waits for, on a terminal only, until the next output."""
        if not self._console.is_terminal:
            return
        shown = escape(printable(text))
        if self._status is None:
            self._status = self._console.status(shown)
            self._status.start()
        else:
            self._status.update(shown)

    def replied(self, reply: Reply) -> None:
        """Show a refusal with all its reasons; for a success nothing, because its reply is on standard output."""
        self._rest()
        if not reply.error:
            return
        self.say(f"refused{f' ({reply.code})' if reply.code else ''}: {reply.error}")
        details = reply.body.get("details")
        shown = [line for item in details if (line := _detail(item))] if isinstance(details, list) else []
        for line in shown[:_MAX_DETAILS]:
            self.say(f"  {line}")
        if len(shown) > _MAX_DETAILS:
            self.say(f"  and {len(shown) - _MAX_DETAILS} more, see the reply")

    def progressed(self, status: WorkflowStatus) -> None:
        """Show a workflow's state: its end as a line, progress as a bar on a terminal and otherwise as lines."""
        if status.has_ended:
            self._rest()
            self.say(status.line)
        elif self._console.is_terminal:
            bar = progress_bar(status.percent)
            self.wait_for(f"{status.ref}  {status.phase} {bar} {status.progress}  {status.message}".rstrip())
        elif status.line != self._said:
            self.say(status.line)
        self._said = status.line

    def _rest(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _detail(item: object) -> str:
    if not isinstance(item, dict):
        return ""
    pointer, message = item.get("pointer"), item.get("message")
    return ": ".join(text for text in (pointer, message) if isinstance(text, str) and text)
