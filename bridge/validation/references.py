"""Checks references from one manifest to templates of others, within a given set of manifests only.

A template that is not in the given manifests may exist in the cluster, so it is not reported. Never asks the cluster.

Thread: the command's main thread; pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bridge.core.nearest import nearest, proposal
from bridge.validation.finding import Finding, FindingCode, Path, describe
from bridge.validation.semantics import workflow_spec

_HOLDERS = {"WorkflowTemplate": False, "ClusterWorkflowTemplate": True}


class GivenTemplates:
    """The WorkflowTemplates and ClusterWorkflowTemplates of one run, by scope and name."""

    def __init__(self, manifests: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Take (kind, manifest) pairs of any kind and structure."""
        self._templates: dict[tuple[bool, str], set[str]] = {}
        self._entrypoints: set[tuple[bool, str]] = set()
        for kind, manifest in manifests:
            metadata = manifest.get("metadata")
            name = metadata.get("name") if isinstance(metadata, dict) else None
            if kind in _HOLDERS and isinstance(name, str):
                key = (_HOLDERS[kind], name)
                _, spec = workflow_spec(manifest, kind)
                items = spec.get("templates")
                named = [one.get("name") for one in items if isinstance(one, dict)] if isinstance(items, list) else []
                self._templates.setdefault(key, set()).update(one for one in named if isinstance(one, str))
                if spec.get("entrypoint"):
                    self._entrypoints.add(key)

    def check(self, manifest: Mapping[str, Any], kind: str) -> list[Finding]:
        """Return all references of a manifest to missing parts of the given templates, unsorted."""
        path, spec = workflow_spec(manifest, kind)
        found = [one for place, ref in _references(spec, path) if (one := self._dangling(place, ref))]
        whole = spec.get("workflowTemplateRef")
        if isinstance(whole, dict) and (key := _key(whole)) in self._templates:
            found += self._entrypoint(spec, path, key)
        return found

    def _dangling(self, place: Path, ref: dict[str, Any]) -> Finding | None:
        known, wanted = self._templates.get(_key(ref)), ref.get("template")
        if known is None or not isinstance(wanted, str) or wanted in known or "{{" in wanted:
            return None
        near = nearest(wanted, known)
        message = f"{_called(_key(ref))} has no template {describe(wanted)}{proposal(near)}"
        return Finding(
            (*place, "template"),
            FindingCode.UNKNOWN_TEMPLATE,
            message,
            describe(wanted),
            "the name of a template",
            near,
        )

    def _entrypoint(self, spec: dict[str, Any], path: Path, key: tuple[bool, str]) -> Iterator[Finding]:
        known = self._templates[key]
        for field in ("entrypoint", "onExit"):
            wanted = spec.get(field)
            if isinstance(wanted, str) and wanted and wanted not in known:
                near = nearest(wanted, known)
                message = f"{_called(key)} has no template {describe(wanted)}{proposal(near)}"
                yield Finding(
                    (*path, field), FindingCode.UNKNOWN_TEMPLATE, message, describe(wanted), "a template", near
                )
        if not spec.get("entrypoint") and key not in self._entrypoints:
            message = f"neither this nor {_called(key)} has an entrypoint"
            yield Finding(path, FindingCode.MISSING_FIELD, message, expected="entrypoint", suggestion="entrypoint")


def _references(value: object, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every ``templateRef`` below `value`, with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "templateRef" and isinstance(inner, dict):
                yield (*path, key), inner
            else:
                yield from _references(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _references(inner, (*path, index))


def _key(ref: dict[str, Any]) -> tuple[bool, str]:
    return ref.get("clusterScope") is True, str(ref.get("name"))


def _called(key: tuple[bool, str]) -> str:
    return f'{"ClusterWorkflowTemplate" if key[0] else "WorkflowTemplate"} "{key[1]}"'
