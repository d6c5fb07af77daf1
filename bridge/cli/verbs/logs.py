"""``argo-bridge logs``: prints the logs of a workflow's containers, and with ``--follow`` also new lines.

Lines go to standard output, each after the name of its pod; progress messages to standard error. Thread: the main
thread.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import orjson

from bridge.cli import exit_codes
from bridge.cli.verbs.operations import PURPOSE, add_operation, question_of, subject_of
from bridge.cli.views.operations import cut_note
from bridge.cli.views.plain_text import printable
from bridge.cli.views.send import SendView
from bridge.cli.visit.asking import Asking
from bridge.cli.visit.request import Reply
from bridge.cli.visit.target import add_timeout, read_target
from bridge.core.foreign import harmless_json
from bridge.interface.operations import OperationSpec

FOLLOW_S = 11 * 60.0
"""The bridge ends a stream after 10 minutes with a reply that says so; the command waits a little longer."""
_EPILOG = """Prints the last lines of each container. With --follow it continues until the workflow finishes,
10 minutes have passed or Ctrl-C is pressed.

exit codes:
  0    the lines were printed; with --follow: to the end of the stream
  1    refused or failed; or the broker cannot be reached
  2    wrong usage
  4    no reply in time; with --follow also: the stream broke
  130  Ctrl-C
"""


def add_options(parser: argparse.ArgumentParser, spec: OperationSpec) -> None:
    """Describe the verb, and add its options."""
    add_operation(parser, spec, _EPILOG)
    add_timeout(parser, "time to wait for the first reply, e.g. 10s or 5m")
    parser.set_defaults(handler=run_logs)


def run_logs(args: argparse.Namespace) -> int:
    """Print the logs of one workflow; see the epilog for the exit codes."""
    until_s = time.monotonic() + args.timeout
    namespace, name = subject_of(args)
    target = read_target(args, PURPOSE)
    if target is None:
        return exit_codes.PROBLEMS
    with target.visit() as visit, SendView() as view:
        asking = Asking(question_of(args, target, namespace, name), visit, view, until_s)
        reply = asking.ask()
        asking.until_s = time.monotonic() + FOLLOW_S
        while reply is not None:
            view.replied(reply)
            if args.json:
                print(harmless_json(orjson.dumps(reply.body).decode()), flush=True)
            if reply.error:
                return exit_codes.PROBLEMS
            if not args.json:
                _tell(reply, view)
            if not reply.body.get("more"):
                return exit_codes.OK
            reply = asking.next_reply()
    return exit_codes.NO_ANSWER


def _tell(reply: Reply, view: SendView) -> None:
    lines = reply.body.get("lines")
    for line in lines if isinstance(lines, list) else ():
        if isinstance(line, dict):
            print(_shown(line))
    print(end="", flush=True)
    note = cut_note(reply.body)
    if note:
        view.say(note)
    ended = reply.body.get("ended")
    if isinstance(ended, str):
        view.say(f"following ended before the workflow finished: {ended}")


def _shown(line: dict[str, Any]) -> str:
    pod, text = line.get("pod", ""), line.get("text", "")
    # A tab is normal in a log; it only moves the text after it.
    shown = "\t".join(printable(part) for part in str(text).split("\t"))
    return f"{printable(str(pod))}: {shown}" if pod else shown
