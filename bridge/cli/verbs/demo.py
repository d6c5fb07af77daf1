"""``argo-bridge demo``: a broker, a simulated Argo Server, a bridge and three sensors, with a display.

Only the verb; the demo itself is in `demo.stage`. Thread: the main thread.
"""

from __future__ import annotations

import argparse

from bridge.cli.visit.target import duration_s


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Run a broker, a simulated Argo Server, a bridge and three sensors in one process, and show the messages that "
        "arrive, those that trigger, and the progress of the workflows. Needs nothing else and leaves nothing behind. "
        "Stop it with Ctrl-C, or set a time with --for. Exit code 0: finished, 1: it could not start."
    )
    parser.add_argument(
        "--for", dest="duration_s", metavar="DURATION", type=duration_s, help="stop after this time, e.g. 30s"
    )
    parser.set_defaults(handler=run_demo)


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo; see the description for the exit codes."""
    # The embedded broker takes half a second to import, and no other verb needs it.
    from bridge.cli.demo.stage import run_demo

    return run_demo(args.duration_s)
