"""``argo-bridge validate``: checks manifests in files as the bridge checks them in messages, with positions.

Needs no broker, cluster or configuration. Prints one line per problem to stdout, notes and a summary to stderr.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.cli import exit_codes
from bridge.cli.views.plain_text import counted
from bridge.configfile import kubernetes_yaml
from bridge.configfile.nodes import MapNode, Node, ScalarNode, describe, locate, plain
from bridge.configfile.problems import Code, Position, Problem, Problems
from bridge.core.nearest import did_you_mean
from bridge.validation.finding import Finding, FindingCode
from bridge.validation.library import SchemaLibrary
from bridge.validation.references import GivenTemplates
from bridge.validation.validator import KINDS, WorkflowValidator
from bridge.validation.versions import parse_version

_KEYS_TOLD = frozenset({FindingCode.UNKNOWN_FIELD, FindingCode.BAD_LABEL})


@dataclass(frozen=True, slots=True)
class _Manifest:
    kind: str
    data: dict[str, Any]
    tree: Node


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Check Workflow, WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow and WorkflowEventBinding manifests "
        "(YAML or JSON, several documents per file). Exit code 0: all valid, 1: problems found, 2: wrong usage."
    )
    parser.add_argument(
        "--argo-version",
        metavar="V",
        default="",
        help="version of Argo, e.g. 4.1 (its newest known patch) or 4.1.2; default: the newest known",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a file, or - for standard input")
    parser.set_defaults(handler=run_validate)


def run_validate(args: argparse.Namespace) -> int:
    """Check every file; 0 all valid, 1 problems found, 2 unknown version of Argo."""
    library = SchemaLibrary()
    if args.argo_version and parse_version(args.argo_version) is None:
        known = ", ".join(library.versions)
        print(f'argo-bridge validate: "{args.argo_version}" is not a version of Argo; known: {known}', file=sys.stderr)
        return exit_codes.USAGE
    choice = library.for_version(args.argo_version or library.newest)
    if choice.note:
        print(f"warning: {choice.note}", file=sys.stderr)
    problems = Problems()
    manifests = [one for name in args.files for one in _read(name, problems)]
    given = GivenTemplates([(one.kind, one.data) for one in manifests])
    validator = library.validator(choice.version)
    for manifest in manifests:
        _check(manifest, validator, given, problems)
    found = problems.in_order()
    for problem in found:
        print(problem.render())
    what = counted(len(found), "problem") if found else "no problems"
    print(f"{counted(len(manifests), 'manifest')} checked against Argo {choice.version}: {what}", file=sys.stderr)
    return exit_codes.PROBLEMS if found else exit_codes.OK


def _read(name: str, problems: Problems) -> list[_Manifest]:
    shown = "<stdin>" if name == "-" else name
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        text = f"cannot read the file: {error.strerror or error}"
        problems.error(Position(shown), Code.UNREADABLE_FILE, text)
        return []
    documents = kubernetes_yaml.read_manifests(data, shown, problems)
    return [manifest for tree in documents if (manifest := _manifest(tree, problems))]


def _manifest(tree: Node, problems: Problems) -> _Manifest | None:
    """Return the manifest of one document, or None if its kind is not checked."""
    if not isinstance(tree, MapNode):
        problems.error(tree.position, FindingCode.WRONG_TYPE, f"a manifest must be a map, not {describe(tree)}")
        return None
    data = plain(tree)
    kind = data.get("kind")
    if not isinstance(kind, str) or not kind:
        hint = next((did_you_mean(key, ["kind"]) for key in data if did_you_mean(key, ["kind"])), "")
        problems.error(tree.position, FindingCode.MISSING_FIELD, f'the manifest has no "kind"{hint}')
        return None
    if kind not in KINDS:
        where = locate(tree, "kind")
        hint = did_you_mean(kind, KINDS)
        print(f'{where}: note: kind "{kind}" is not checked{hint}', file=sys.stderr)
        return None
    return _Manifest(kind, data, tree)


def _check(manifest: _Manifest, validator: WorkflowValidator, given: GivenTemplates, problems: Problems) -> None:
    found = [*validator.problems(manifest.data, manifest.kind), *given.check(manifest.data, manifest.kind)]
    for one in found:
        text = one.text
        if one.code == FindingCode.WRONG_TYPE and (written := _as_written(manifest.tree, one)):
            text = f"{text}; YAML reads {written} this way: quote it"
        problems.found.append(Problem(_position(manifest.tree, one), one.code, text))


def _as_written(tree: Node, one: Finding) -> str:
    """Return the unquoted word that YAML misread (``y``, ``0755``), or ""."""
    node = tree
    for step in one.path:
        node = _child(node, step)
    if isinstance(node, ScalarNode) and not isinstance(node.value, str) and node.text not in ("", "true", "false"):
        return node.text
    return ""


def _position(tree: Node, one: Finding) -> Position:
    """Return the position of a finding: the key if the key is wrong, otherwise the value."""
    if one.code in _KEYS_TOLD and one.path:
        holder = tree
        for step in one.path[:-1]:
            holder = _child(holder, step)
        entry = holder.entry(str(one.path[-1])) if isinstance(holder, MapNode) else None
        if entry is not None:
            return entry.key_position
    return locate(tree, *one.path)


def _child(node: Node, step: str | int) -> Node:
    if isinstance(node, MapNode):
        return node.get(str(step)) or node
    items: tuple[Node, ...] = getattr(node, "items", ())
    return items[step] if isinstance(step, int) and step < len(items) else node
