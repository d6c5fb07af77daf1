"""``argo-bridge watch``: a live view of workflows, from the status topics at the broker.

It only subscribes, and needs only the broker: it shows what any subscriber receives. Thread: the main thread.
"""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console

from bridge.cli import exit_codes
from bridge.cli.views.watch import PlainWatch, ScreenWatch, WatchView
from bridge.cli.views.watch_story import WatchStory
from bridge.cli.visit.broker import BrokerVisit
from bridge.cli.visit.target import add_target_options, add_timeout, duration_s, read_target
from bridge.core.topic_filter import name_problem
from bridge.interface.topics import Topics

LOOK_S = 0.2
TOLD_WITHIN_S = 3.0
"""After a reconnect, the broker sends all retained messages within this time."""
_EPILOG = """Stop it with Ctrl-C.

exit codes:
  0  stopped by Ctrl-C, or after --for
  1  the broker cannot be reached, or does not allow this user to read
  2  wrong usage
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Show the workflows that the bridge follows, live: as a table with progress bars on a terminal, "
        "otherwise as a line per change."
    )
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_target_options(parser)
    parser.add_argument("--for", dest="for_s", metavar="DURATION", type=duration_s, help="stop after this time")
    add_timeout(parser, "time limit for connecting, e.g. 10s")
    parser.add_argument(
        "which",
        metavar="NAMESPACE[/NAME]",
        type=_which,
        nargs="?",
        default=(),
        help="show only these workflows; default: all",
    )
    parser.set_defaults(handler=run_watch)


def run_watch(args: argparse.Namespace) -> int:
    """Watch until Ctrl-C or the end of ``--for``."""
    target = read_target(args, "argo-bridge-watch")
    if target is None:
        return exit_codes.PROBLEMS
    story = WatchStory()
    console = Console(highlight=False)
    title = f"workflows of bridge {target.settings.bridge.id} at {target.options.url}"
    view: WatchView = ScreenWatch(story, title, console) if console.is_terminal else PlainWatch()
    with target.visit() as visit:
        visit.subscribe(retained=frozenset({_filter(target.topics, args.which)}))
        visit.await_ready(args.timeout)
        try:
            with view:
                _watch(visit, story, view, args.for_s, retains=target.retains)
        except KeyboardInterrupt:
            print(file=sys.stderr)  # after the ^C that the terminal shows
    return exit_codes.OK


def _watch(visit: BrokerVisit, story: WatchStory, view: WatchView, for_s: float | None, *, retains: bool) -> None:
    until_s = float("inf") if for_s is None else time.monotonic() + for_s
    connections, confirmed_at_s = visit.connections, float("inf")
    while (now_s := time.monotonic()) < until_s:
        message = visit.next(min(LOOK_S, until_s - now_s))
        if visit.connections != connections:
            connections = visit.connections
            if retains:
                confirmed_at_s = time.monotonic() + TOLD_WITHIN_S
                story.reconnected()
        change = story.take(message) if message is not None else None
        if change is not None:
            view.changed([change])
        if time.monotonic() >= confirmed_at_s:
            confirmed_at_s = float("inf")
            view.changed(story.confirmed())
        view.tick(visit.problem.message if visit.problem else "")


def _filter(topics: Topics, which: tuple[str, ...]) -> str:
    namespace, name = (*which, "+", "+")[:2]
    return topics.status_of(namespace, name)


def _which(text: str) -> tuple[str, ...]:
    levels = tuple(text.split("/"))
    if len(levels) > 2 or not all(levels) or name_problem(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither NAMESPACE nor NAMESPACE/NAME")
    return levels
