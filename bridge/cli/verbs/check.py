"""``argo-bridge check``: reports every problem of a configuration; with ``--live`` also checks the Argo Server.

Prints one line per problem and then a summary, all to stdout. Reads files, starts and changes nothing.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bridge.cli import exit_codes
from bridge.cli.views.plain_text import counted
from bridge.configfile.problems import Problem, Severity
from bridge.settings.configuration import Loaded, load
from bridge.settings.model import Settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Check bridge.yaml, the ARGO_BRIDGE_ variables and all mapping files, and report every problem "
        "with its file, line and column. Makes no network connection without --live. Exit code 0: valid "
        "(there may be warnings), 1: problems found, 2: wrong usage."
    )
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the bridge.yaml to check")
    parser.add_argument(
        "--live",
        action="store_true",
        help="also check the Argo Server: its version, the bridge's rights, and that each mapping's template exists",
    )
    parser.set_defaults(handler=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Check one configuration; 0 valid, 1 invalid."""
    loaded = load(args.config, os.environ)
    for problem in loaded.problems:
        print(problem.render())
    print(summary(loaded))
    if not loaded.ok or loaded.settings is None:
        return exit_codes.PROBLEMS
    return _live(loaded, loaded.settings, args.config) if args.live else exit_codes.OK


def _live(loaded: Loaded, settings: Settings, config: Path) -> int:
    from bridge.cli.live_check import check_live  # requests takes long to import

    code = exit_codes.OK
    for found in check_live(settings, loaded.mappings, config):
        if isinstance(found, Problem):
            code = exit_codes.PROBLEMS
        print(found.render() if isinstance(found, Problem) else found)
    return code


def summary(loaded: Loaded) -> str:
    """Return the last line: `config OK: 3 mappings, 1 connection`, or the number of problems."""
    warnings = sum(problem.severity is Severity.WARNING for problem in loaded.problems)
    told = f", {counted(warnings, 'warning')}" if warnings else ""
    if loaded.settings is None or not loaded.ok:
        return f"config refused: {counted(len(loaded.problems) - warnings, 'error')}{told}"
    connections = counted(len(loaded.settings.connections), "connection")
    return f"config OK: {counted(len(loaded.mappings), 'mapping')}, {connections}{told}"
