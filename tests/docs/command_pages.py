"""Makes the reference for docs/commands.md, from the command itself."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

from bridge.cli.main import build_parser


def commands() -> str:
    """Return the reference."""
    return "\n".join(_sections(build_parser(), "argo-bridge")) + "\n"


def _sections(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    for choices in _choices(parser):
        for verb, inner in choices.choices.items():
            yield from _section(inner, f"{name} {verb}", _summary(choices, verb))
            yield from _sections(inner, f"{name} {verb}")


def _choices(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _summary(choices: argparse._SubParsersAction[argparse.ArgumentParser], verb: str) -> str:
    return next((str(one.help) for one in choices._choices_actions if one.dest == verb), "")


def _section(parser: argparse.ArgumentParser, name: str, summary: str) -> Iterator[str]:
    yield f"### {name}\n"
    described = parser.description or f"{summary[:1].upper()}{summary[1:]}."
    yield textwrap.fill(_plain(described), 120, break_on_hyphens=False) + "\n"
    rows = [_row(action) for action in parser._actions if _is_shown(action)]
    if rows:
        yield "| argument | meaning |\n| --- | --- |"
        yield "\n".join(rows) + "\n"
    if parser.epilog:
        yield "\n".join(f"    {line}".rstrip() for line in _plain(parser.epilog).strip().splitlines()) + "\n"


def _is_shown(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._SubParsersAction | argparse._HelpAction)


def _row(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    if not action.option_strings:
        many = {"+": f"{metavar}...", "*": f"[{metavar}...]", "?": f"[{metavar}]"}
        shown = many.get(str(action.nargs), metavar)
    else:
        value = "" if action.nargs == 0 else f" {metavar.upper() if action.metavar is None else metavar}"
        shown = "`, `".join(f"{option}{value}" for option in action.option_strings)
    required = (
        " (required)" if action.option_strings and action.required and "(required)" not in str(action.help) else ""
    )
    return f"| `{_cell(shown)}` | {_cell(_plain(str(action.help or '')))}{required} |"


def _plain(text: str) -> str:
    return text.replace("%%", "%")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
