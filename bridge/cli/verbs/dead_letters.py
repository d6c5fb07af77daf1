"""``argo-bridge dead-letters``: list, show, replay and purge dead letters.

Works through the running bridge of this data directory, or directly if none runs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.cli import exit_codes
from bridge.cli.views.dead_letters import show_letter, show_list
from bridge.cli.views.plain_text import counted
from bridge.configfile.quantities import parse_duration
from bridge.control.dead_letter_commands import PAGE
from bridge.control.protocol import Ask
from bridge.core.errors import BridgeError, ConfigError
from bridge.core.foreign import well_formed
from bridge.interface.replies import POLICY_REASONS
from bridge.service.replaying import dead_letters
from bridge.settings.configuration import load

CHUNK = 20
"""Dead letters per replay question, each in its own commit."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "List, show, replay and purge dead letters: refused messages, and events that could not be submitted. Works "
        "whether or not the bridge is running. Exit code 0: done, 1: not done or not completely, 2: wrong usage."
    )
    actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    _add_list(actions)
    _add_show(actions)
    _add_replay(actions)
    _add_purge(actions)


def _add_action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the bridge's bridge.yaml")
    return parser


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mapping", metavar="NAME", type=well_formed, help='only dead letters of this mapping; "" for trigger messages'
    )
    parser.add_argument("--reason", metavar="CODE", type=well_formed, help="only dead letters with this reason")


def _add_list(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add_action(actions, "list", "list dead letters, newest first")
    _add_filter(parser)
    parser.add_argument("--limit", metavar="N", type=_count, default=50, help="maximum number (default: 50)")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.set_defaults(handler=run_list)


def _add_show(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add_action(actions, "show", "show one dead letter completely, including its payload")
    parser.add_argument("id", metavar="ID", type=_count, help="its number in the list")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.set_defaults(handler=run_show)


def _add_replay(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add_action(actions, "replay", "try dead letters again, and remove those that are replayed")
    parser.add_argument("ids", metavar="ID", type=_count, nargs="*", help="its number in the list")
    parser.add_argument(
        "--all",
        action="store_true",
        help="all that match --mapping and --reason; those refused by policy only if --reason names them",
    )
    _add_filter(parser)
    parser.set_defaults(handler=run_replay, parser=parser)


def _add_purge(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add_action(actions, "purge", "delete dead letters permanently, without asking")
    parser.add_argument("ids", metavar="ID", type=_count, nargs="*", help="its number in the list")
    parser.add_argument("--before", metavar="AGE", type=_age_s, help="only dead letters older than this, e.g. 7d")
    parser.add_argument("--all", action="store_true", help="all that match the other options")
    _add_filter(parser)
    parser.set_defaults(handler=run_purge, parser=parser)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:20]) < 2**62:
        raise argparse.ArgumentTypeError(f"must be a number of at least 1, not {text!r}")
    return int(text)


def _age_s(text: str) -> float:
    age_s = parse_duration(text)
    if age_s is None:
        raise argparse.ArgumentTypeError(f"must be a duration such as 36h or 7d, not {text!r}")
    return age_s


def run_list(args: argparse.Namespace) -> int:
    """List; 0 also if there are none."""
    with _desk(args.config) as ask:
        letters = list(itertools.islice(_listed(ask, args, min(args.limit, PAGE)), args.limit))
    if args.json:
        print(json.dumps(letters, indent=2))
    else:
        show_list(letters)
    return exit_codes.OK


def run_show(args: argparse.Namespace) -> int:
    """Show one; 1 if it does not exist."""
    with _desk(args.config) as ask:
        letter = ask({"do": "show", "id": args.id})["letter"]
    if args.json:
        print(json.dumps(letter, indent=2))
    else:
        show_letter(letter)
    return exit_codes.OK


def run_replay(args: argparse.Namespace) -> int:
    """Replay; 1 if one could not be replayed, which is reported and kept."""
    if bool(args.ids) == args.all:
        args.parser.error("give either IDs or --all")
    if args.ids and (args.mapping is not None or args.reason is not None):
        args.parser.error("--mapping and --reason can only be used with --all")
    with _desk(args.config) as ask:
        # The oldest first, so that events come in their original order.
        ids = args.ids or sorted(_all_but_policy(_listed(ask, args, PAGE), args.reason))
        results = [_tell_replay(result) for result in _replayed(ask, ids)]
    failed = [result for result in results if "error" in result]
    waiting = sum(result.get("waiting", 0) for result in results)
    kept = f", {len(failed)} not replayed" if failed else ""
    print(f"{counted(len(results) - len(failed), 'dead letter')} replayed, {counted(waiting, 'event')} waiting{kept}")
    return exit_codes.PROBLEMS if failed else exit_codes.OK


def _all_but_policy(letters: Iterable[dict[str, Any]], reason: str | None) -> Iterator[int]:
    """Yield the ids of letters; those refused by policy only if `reason` names them, otherwise they are reported."""
    left: Counter[str] = Counter()
    for letter in letters:
        if reason is None and letter["reason"] in POLICY_REASONS:
            left[letter["reason"]] += 1
        else:
            yield letter["id"]
    for code, count in sorted(left.items()):
        print(f"{counted(count, 'dead letter')} skipped, refused by policy: to replay them, use --reason {code} or IDs")


def _replayed(ask: Ask, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(ids), CHUNK):
        yield from ask({"do": "replay", "ids": ids[start : start + CHUNK]})["results"]


def _tell_replay(result: dict[str, Any]) -> dict[str, Any]:
    """Print the result of one; return it."""
    if "error" in result:
        error = result["error"]
        told = BridgeError(error["message"], code=error["code"], hint=error["hint"])
        print(f"{result['id']}: not replayed: {told.code}: {told}", file=sys.stderr)
        return result
    known = f", {counted(result['known'], 'event')} known already" if result["known"] else ""
    not_kept = f"; {result['notKept']} more were only counted and cannot be replayed" if result["notKept"] else ""
    print(f"{result['id']}: replayed: {counted(result['waiting'], 'event')} waiting{known}{not_kept}")
    return result


def run_purge(args: argparse.Namespace) -> int:
    """Purge; 0 whatever the number."""
    is_filtered = args.before is not None or args.mapping is not None or args.reason is not None
    if args.ids and (args.all or is_filtered):
        args.parser.error("give either IDs or options")
    if not (args.ids or args.all or is_filtered):
        args.parser.error("give IDs, --before, --mapping, --reason, or --all")
    with _desk(args.config) as ask:
        purged = sum(_purged_ids(ask, args.ids) if args.ids else _purged(ask, args))
    print(f"{counted(purged, 'dead letter')} purged")
    return exit_codes.OK


def _purged_ids(ask: Ask, ids: Sequence[int]) -> Iterator[int]:
    for start in range(0, len(ids), CHUNK):
        yield ask({"do": "purge", "ids": ids[start : start + CHUNK]})["purged"]


def _purged(ask: Ask, args: argparse.Namespace) -> Iterator[int]:
    upto = None
    while True:
        question = {"do": "purge", "olderThan": args.before, "mapping": args.mapping, "reason": args.reason}
        answer = ask(question | {"upto": upto})
        yield answer["purged"]
        if not answer["purged"]:
            return
        upto = answer["upto"]


def _listed(ask: Ask, args: argparse.Namespace, page: int) -> Iterable[dict[str, Any]]:
    before = None
    while True:
        question = {"do": "list", "before": before, "limit": page, "mapping": args.mapping, "reason": args.reason}
        answer = ask(question)
        yield from answer["letters"]
        if not answer["more"] or not answer["letters"]:
            return
        before = answer["letters"][-1]["id"]


@contextmanager
def _desk(config: Path) -> Iterator[Ask]:
    """Yield a function that answers questions about the dead letters of the bridge configured in `config`.

    Problems in mappings do not matter here, unless they are needed for a replay without a bridge.
    """
    loaded = load(config, os.environ)
    if loaded.settings is None:
        for problem in loaded.problems:
            print(problem.render(), file=sys.stderr)
        raise ConfigError(f"cannot use {config}", hint="its problems are listed above")
    with dead_letters(loaded.settings, loaded.compiled if loaded.ok else None) as ask:
        yield ask
