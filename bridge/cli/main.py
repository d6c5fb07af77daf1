"""Entry point of the `argo-bridge` command: picks the verb, turns every error into one line and an exit code.

Each verb, or family of verbs, is a module with ``add_parser(subparsers)``, which sets ``handler``: a function from the
parsed arguments to an exit code.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from bridge import __version__
from bridge.cli import (
    asyncapi,
    check,
    dead_letters,
    demo,
    exit_codes,
    logs,
    operations,
    run,
    schemas,
    send,
    simulate,
    validate,
    watch,
)
from bridge.core.errors import BridgeError
from bridge.core.report import ReportWriter

VERBS: tuple[ModuleType, ...] = (
    run,
    check,
    demo,
    send,
    operations,
    logs,
    watch,
    dead_letters,
    simulate,
    validate,
    schemas,
    asyncapi,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="argo-bridge",
        description="Turns MQTT messages into Argo Workflows and reports their status back.",
        epilog="Exit codes: 0 ok, 1 problems found, 2 usage, 3 unexpected error, 4 no answer in time, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"argo-bridge {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="verb", required=True, metavar="COMMAND")
    for verb in VERBS:
        verb.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's arguments) and return its exit code."""
    args = build_parser().parse_args(argv)
    handler: Callable[[argparse.Namespace], int] = args.handler
    try:
        return handler(args)
    except BrokenPipeError:
        # The reader of our output is gone (`| head`); Python would complain once more while it flushes.
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
