"""Entry point of the `argo-bridge` command: picks the verb, and turns every error into one line and an exit code.

It imports only the module of the verb that is used. Thread: the command's main thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bridge import __version__
from bridge.cli import exit_codes
from bridge.cli.catalogue import VERBS
from bridge.core.errors import BridgeError
from bridge.core.report import ReportWriter


def build_parser(asked: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command.

    Only the verb `asked` gets its options; the others are only names, for the list of commands and for the error about
    an unknown name. None: all get theirs, which imports the module of each.
    """
    parser = argparse.ArgumentParser(
        prog="argo-bridge",
        description="Turns MQTT and AMQP messages into Argo Workflows and reports their status back.",
        epilog="Exit codes: 0 ok, 1 problems found, 2 wrong usage, 3 unexpected error, 4 no answer in time, 130 "
        "interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"argo-bridge {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="verb", required=True, metavar="COMMAND")
    for verb in VERBS:
        verb.add_to(subparsers, with_options=asked in (None, verb.name))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's arguments) and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    # No option before the verb takes a value, so the verb is the first word that is not an option.
    asked = next((word for word in words if not word.startswith("-")), "")
    args = build_parser(asked).parse_args(words)
    handler: Callable[[argparse.Namespace], int] = args.handler
    try:
        return handler(args)
    except BrokenPipeError:
        # The reader of our output has closed it (`| head`); otherwise Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.PROBLEMS
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BridgeError as error:
        print(f"argo-bridge: {error.code}: {error}", file=sys.stderr)
        return exit_codes.PROBLEMS
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence and a report instead of a traceback
        report = ReportWriter(Path(tempfile.gettempdir())).write("cli", error, time.time(), verb=args.verb)
        print(f"argo-bridge: unexpected error: {type(error).__name__}: {error}; report: {report}", file=sys.stderr)
        return exit_codes.UNEXPECTED


if __name__ == "__main__":
    sys.exit(main())
