"""``argo-bridge check``: tells every problem of a configuration at once, without connecting to anything.

Prints one line a problem and then the sum, all to stdout; reads files and starts nothing.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bridge.cli import exit_codes
from bridge.configfile.problems import Severity
from bridge.configuration import Loaded, load


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str) -> None:
    """Add the verb to the command."""
    parser = subparsers.add_parser(
        name,
        help=summary,
        description="Check bridge.yaml, the ARGO_BRIDGE_ variables and all mapping files, and tell every problem with "
        "its file, line and column. Connects to nothing. Exit code 0: it can be used (there may be warnings), "
        "1: problems found, 2: wrong usage.",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the bridge.yaml to check")
    parser.set_defaults(handler=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Check one configuration; 0 it can be used, 1 it cannot."""
    loaded = load(args.config, os.environ)
    for problem in loaded.problems:
        print(problem.render())
    print(summary(loaded))
    return exit_codes.OK if loaded.ok else exit_codes.PROBLEMS


def summary(loaded: Loaded) -> str:
    """The last line: `config OK: 3 mappings, 1 connection`, or how many problems there are."""
    warnings = sum(problem.severity is Severity.WARNING for problem in loaded.problems)
    told = f", {_counted(warnings, 'warning')}" if warnings else ""
    if loaded.settings is None or not loaded.ok:
        return f"config refused: {_counted(len(loaded.problems) - warnings, 'error')}{told}"
    connections = _counted(len(loaded.settings.connections), "connection")
    return f"config OK: {_counted(len(loaded.mappings), 'mapping')}, {connections}{told}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
