"""Decides whether a manifest is valid for one Argo release, and if not, reports everything that is wrong.

`jsonschema_rs` decides (about a microsecond) and `semantics` adds rules that no schema can express; only a refused
manifest goes to `explanation`. Validators are compiled once, at first use. Never asks Argo and never stores anything.

Thread: any. The compiled validators are immutable; two threads that arrive at first use both compile, and one result is
kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from bridge.core.errors import PermanentError
from bridge.core.nearest import Proposals
from bridge.validation import finding, semantics
from bridge.validation.finding import MAX_FINDINGS, Finding, FindingCode, describe, in_order
from bridge.validation.generator import Schema, entry_point, without_required

if TYPE_CHECKING:
    from bridge.validation.explanation import Elsewhere

KINDS = ("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow", "WorkflowEventBinding")

_ITEM_WORDS = {"templates": "template", "steps": "step", "tasks": "task", "parameters": "parameter"}
_NO_RELEASES: Elsewhere = lambda _type, _field: ()  # noqa: E731 - a constant of a callable type


class WorkflowValidator:
    """Checks manifests for one release; get it from `SchemaLibrary.validator`."""

    def __init__(self, schema: Schema, version: str, elsewhere: Elsewhere = _NO_RELEASES) -> None:
        """Take the schema of `version`; `elsewhere` says which other releases have a field."""
        self.version = version
        self._schema = schema
        self._elsewhere = elsewhere
        self._compiled: dict[tuple[str, bool], jsonschema_rs.Draft202012Validator] = {}

    def problems(self, manifest: Mapping[str, Any], kind: str = "Workflow") -> tuple[Finding, ...]:
        """Return all mistakes in a manifest of a kind in `KINDS`, sorted by place; () if it is valid.

        At most `MAX_FINDINGS`, with suggestions for the first ones only: garbage from clients must not cost much time.
        ``apiVersion`` and ``kind`` may be absent.

        Source: Argo's field reference of the release; semantics of ``argo lint``.
        """
        relaxed = _completed_at_run_time(manifest, kind)
        proposals = Proposals()
        findings = semantics.check(manifest, kind, proposals, MAX_FINDINGS)
        if self.fits_schema(manifest, kind, relaxed=relaxed):
            if not findings:
                return ()
        else:
            findings = [*findings, *self._explain(manifest, kind, proposals, relaxed=relaxed)]
        ordered = in_order(_without_echoes(findings))[:MAX_FINDINGS]
        return tuple(replace(one, item=_item(manifest, one.path)) for one in ordered)

    def check(self, workflow: Mapping[str, Any], kind: str = "Workflow") -> PermanentError | None:
        """Return the error for an invalid workflow, ready to raise, or None if it is valid.

        Its message is a sentence for a reply's ``error``; its `details` has one map per finding.
        """
        found = self.problems(workflow, kind)
        if not found:
            return None
        least = "at least " if len(found) == MAX_FINDINGS else ""
        more = f" and {least}{len(found) - 1} more" if len(found) > 1 else ""
        message = f"Invalid workflow definition for Argo {self.version}: {found[0].text}{more}"
        details = tuple(one.detail() for one in found)
        return PermanentError(message, code="invalid-workflow", details=details)

    def fits_schema(self, manifest: object, kind: str = "Workflow", *, relaxed: bool = False) -> bool:
        """Whether the structure alone is valid; `relaxed` requires no fields."""
        try:
            return bool(self._validator(kind, relaxed=relaxed).is_valid(manifest))
        except (ValueError, TypeError):
            # Not JSON at all (a date, bytes): the explanation gives the place.
            return False

    def _validator(self, kind: str, *, relaxed: bool) -> jsonschema_rs.Draft202012Validator:
        compiled = self._compiled.get((kind, relaxed))
        if compiled is None:
            schema = without_required(self._schema) if relaxed else self._schema
            compiled = jsonschema_rs.Draft202012Validator(entry_point(schema, kind))
            self._compiled[kind, relaxed] = compiled
        return compiled

    def _explain(self, manifest: object, kind: str, proposals: Proposals, *, relaxed: bool) -> list[Finding]:
        from bridge.validation.explanation import Explainer  # 5 MiB and 0.1 s, for what most bridges never need

        schema = without_required(self._schema) if relaxed else self._schema
        found = Explainer(schema, self.version, self._elsewhere).explain(manifest, kind, proposals)
        # A property test checks that the two libraries agree; should they ever differ, the refusal stands.
        return found or [Finding((), FindingCode.BAD_VALUE, f"does not fit the schema of Argo {self.version}")]


def _completed_at_run_time(manifest: Mapping[str, Any], kind: str) -> bool:
    """Whether ``templateDefaults`` may complete the templates, so that no field can be required."""
    return bool(semantics.workflow_spec(manifest, kind)[1].get("templateDefaults"))


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Leave out "X is missing" if a misspelt X in the same object is already reported."""
    misspelt = {(one.path[:-1], one.suggestion) for one in findings if one.code == FindingCode.UNKNOWN_FIELD}
    return [
        one
        for one in findings
        if one.code not in (FindingCode.MISSING_FIELD, FindingCode.TEMPLATE_TYPE)
        or not any((one.path, word) in misspelt for word in re.findall(r"\w+", one.expected))
    ]


def _item(manifest: object, path: finding.Path) -> str:
    """Return the named items on the way to `path`, e.g. ``template "main", step "a"``."""
    parts: list[str] = []
    current: Any = manifest
    word = ""
    for step in path[:-1]:
        try:
            current = current[step]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(step, str):
            word = _ITEM_WORDS.get(step, "")
        elif word and isinstance(current, dict) and isinstance(current.get("name"), str) and current["name"]:
            parts.append(f"{word} {describe(current['name'])}")
    return ", ".join(parts)
