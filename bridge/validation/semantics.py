"""Checks rules about a workflow that no schema can express, and that Argo checks later, one at a time, or never.

The entrypoint and every reference name a template, each template has exactly one type, names are unique and well
formed, a parameter's value is in its own enum. Accepts manifests of any structure: values of the wrong type are the
schema's findings and are ignored here. Anything with ``{{`` is decided by Argo and not checked.

Thread: any; pure. On the hot path: a valid template costs a few microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from bridge.core.nearest import Proposals, proposal
from bridge.validation import names
from bridge.validation.finding import Finding, FindingCode, Path, describe, listed

TEMPLATE_TYPES = (
    "container",
    "containerSet",
    "dag",
    "data",
    "http",
    "plugin",
    "resource",
    "script",
    "steps",
    "suspend",
)
_TYPES = frozenset(TEMPLATE_TYPES)
# Argo adds eleven characters to a CronWorkflow's name for each workflow.
_NAME_LIMITS = {"CronWorkflow": 52, "WorkflowEventBinding": names.MAX_SUBDOMAIN}
_DEFAULT_NAME_LIMIT = 63

_NOTHING: dict[str, Any] = {}


class _Enough(Exception):  # noqa: N818 - an answer, not an error
    """The limit of findings is reached."""


class _Findings(list[Finding]):
    """Collects a limited number of findings; `append` raises `_Enough` with the last of them."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def append(self, one: Finding) -> None:
        super().append(one)
        if len(self) >= self._limit:
            raise _Enough


def check(manifest: Mapping[str, Any], kind: str, proposals: Proposals, limit: int) -> list[Finding]:
    """Return all violations of rules beyond structure, unsorted, at most `limit`.

    The schema's `kind` selects the checks; `proposals` limits the suggestions.
    """
    out = _Findings(limit)
    with suppress(_Enough):
        _check(out, manifest, kind, proposals)
    return out


def _check(out: list[Finding], manifest: Mapping[str, Any], kind: str, proposals: Proposals) -> None:
    _metadata(out, _map(manifest.get("metadata")), ("metadata",), kind)
    spec_path: Path = ("spec",)
    spec = _map(manifest.get("spec"))
    if kind == "CronWorkflow":
        _labels(out, _map(spec.get("workflowMetadata")), ("spec", "workflowMetadata"))
        spec_path, spec = ("spec", "workflowSpec"), _map(spec.get("workflowSpec"))
    if kind != "WorkflowEventBinding":
        _Spec(out, spec, spec_path, proposals).check(needs_entrypoint=kind in ("Workflow", "CronWorkflow"))


def workflow_spec(manifest: Mapping[str, Any], kind: str) -> tuple[Path, dict[str, Any]]:
    """Return the path of a kind's WorkflowSpec, and the spec; an empty one if there is none."""
    spec = _map(manifest.get("spec"))
    if kind == "CronWorkflow":
        return ("spec", "workflowSpec"), _map(spec.get("workflowSpec"))
    return ("spec",), _NOTHING if kind == "WorkflowEventBinding" else spec


class _Spec:
    """The check of one WorkflowSpec: its templates' names, and the findings so far."""

    def __init__(self, out: list[Finding], spec: dict[str, Any], path: Path, proposals: Proposals) -> None:
        self.out = out
        self.spec = spec
        self.path = path
        self.known: dict[str, int] = {}
        self.proposals = proposals
        # Templates may come from another object: an unknown name is not reported then.
        self.elsewhere = bool(spec.get("workflowTemplateRef"))

    def check(self, *, needs_entrypoint: bool) -> None:
        spec, path, out = self.spec, self.path, self.out
        templates = _list(spec.get("templates"))
        for index, template in enumerate(templates):
            name = template.get("name") if isinstance(template, dict) else None
            if not isinstance(name, str) or not name:
                # Its name may be misspelt; otherwise every reference to it would be reported too.
                self.elsewhere = True
                if isinstance(template, dict) and name in (None, ""):
                    out.append(_nameless((*path, "templates", index), "template"))
            elif name in self.known:
                out.append(_twice((*path, "templates", index, "name"), "template", name))
            else:
                self.known[name] = index
                if wrong := names.template_name(name):
                    out.append(_bad_name((*path, "templates", index, "name"), "template name", name, wrong))
        self._entrypoint(needed=needs_entrypoint)
        _parameters(out, spec.get("arguments"), (*path, "arguments"))
        for key in ("podMetadata", "workflowMetadata"):
            if key in spec:
                _labels(out, _map(spec[key]), (*path, key))
        untyped = bool(spec.get("templateDefaults"))
        for index, template in enumerate(templates):
            if isinstance(template, dict):
                self._template(template, (*path, "templates", index), may_lack_type=untyped)

    def _entrypoint(self, *, needed: bool) -> None:
        entrypoint = self.spec.get("entrypoint")
        if entrypoint in (None, ""):
            if needed and not self.spec.get("workflowTemplateRef"):
                choice = f"; one of {listed(list(self.known)[:5])}" if self.known else ""
                message = f'the field "entrypoint" is missing: nothing says which template runs first{choice}'
                self.out.append(
                    Finding(
                        self.path, FindingCode.MISSING_FIELD, message, expected="entrypoint", suggestion="entrypoint"
                    )
                )
        else:
            self._reference(entrypoint, (*self.path, "entrypoint"))
        self._reference(self.spec.get("onExit"), (*self.path, "onExit"))
        self._hooks(self.spec.get("hooks"), (*self.path, "hooks"))

    def _reference(self, name: object, path: Path) -> None:
        if isinstance(name, str) and name and name not in self.known and not self.elsewhere and "{{" not in name:
            near = self.proposals.nearest(name, self.known)
            message = f"no template is called {describe(name)}{proposal(near)}"
            self.out.append(
                Finding(path, FindingCode.UNKNOWN_TEMPLATE, message, describe(name), "the name of a template", near)
            )

    def _hooks(self, hooks: object, path: Path) -> None:
        if hooks:
            for event, hook in _map(hooks).items():
                if isinstance(hook, dict):
                    self._reference(hook.get("template"), (*path, event, "template"))
                    _parameters(self.out, hook.get("arguments"), (*path, event, "arguments"))

    def _template(self, template: dict[str, Any], path: Path, *, may_lack_type: bool) -> None:
        given = [key for key in template if key in _TYPES and template[key] is not None]
        if len(given) != 1 and not (may_lack_type and not given):
            self.out.append(_template_type(path, sorted(given)))
        _parameters(self.out, template.get("inputs"), (*path, "inputs"))
        _parameters(self.out, template.get("outputs"), (*path, "outputs"))
        if "metadata" in template:
            _labels(self.out, _map(template["metadata"]), (*path, "metadata"))
        if "steps" in template:
            self._calls("step", list(_steps(template["steps"], (*path, "steps"))))
        if "dag" in template:
            tasks = _list(_map(template["dag"]).get("tasks"))
            calls = [(task, (*path, "dag", "tasks", index)) for index, task in enumerate(tasks)]
            self._calls("task", [(task, place) for task, place in calls if isinstance(task, dict)])
            self._dependencies(tasks, (*path, "dag", "tasks"))

    def _calls(self, word: str, calls: list[tuple[dict[str, Any], Path]]) -> None:
        seen: set[str] = set()
        for call, path in calls:
            name = call.get("name")
            if isinstance(name, str) and name:
                if name in seen:
                    self.out.append(_twice((*path, "name"), word, name))
                elif wrong := names.template_name(name):
                    self.out.append(_bad_name((*path, "name"), f"{word} name", name, wrong))
                seen.add(name)
            elif name in (None, "") and (word == "step" or "name" in call):
                self.out.append(_nameless(path, word))
            self._call(word, call, path)

    def _call(self, word: str, call: dict[str, Any], path: Path) -> None:
        if not call.get("template") and call.get("templateRef") is None and call.get("inline") is None:
            message = f"the {word} names no template: it needs template, templateRef or inline"
            self.out.append(
                Finding(path, FindingCode.MISSING_FIELD, message, expected="template, templateRef or inline")
            )
        self._reference(call.get("template"), (*path, "template"))
        self._reference(call.get("onExit"), (*path, "onExit"))
        self._hooks(call.get("hooks"), (*path, "hooks"))
        _parameters(self.out, call.get("arguments"), (*path, "arguments"))
        if isinstance(call.get("inline"), dict):
            self._template(call["inline"], (*path, "inline"), may_lack_type=bool(self.spec.get("templateDefaults")))

    def _dependencies(self, tasks: list[Any], path: Path) -> None:
        known: set[str] | None = None
        for index, task in enumerate(tasks):
            if not isinstance(task, dict) or "dependencies" not in task:
                continue
            if known is None:
                known = {str(one.get("name")) for one in tasks if isinstance(one, dict)}
            for place, name in enumerate(_list(task["dependencies"])):
                if isinstance(name, str) and name not in known:
                    near = self.proposals.nearest(name, known)
                    message = f"no task of this dag is called {describe(name)}{proposal(near)}"
                    where = (*path, index, "dependencies", place)
                    self.out.append(
                        Finding(where, FindingCode.UNKNOWN_TASK, message, describe(name), "the name of a task", near)
                    )


def _steps(steps: object, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    for outer, group in enumerate(_list(steps)):
        for inner, step in enumerate(_list(group)):
            if isinstance(step, dict):
                yield step, (*path, outer, inner)


def _template_type(path: Path, given: list[str]) -> Finding:
    if given:
        message = f"a template has exactly one type, this one has {listed(given, 'and')}"
        return Finding(path, FindingCode.TEMPLATE_TYPE, message, listed(given, "and"), "one of them")
    message = f"the template does nothing: it needs one of {listed(TEMPLATE_TYPES)}"
    return Finding(path, FindingCode.TEMPLATE_TYPE, message, expected=f"one of {listed(TEMPLATE_TYPES)}")


def _parameters(out: list[Finding], holder: object, path: Path) -> None:
    """Check parameters and artifacts of ``arguments``, ``inputs`` or ``outputs``."""
    if not isinstance(holder, dict):
        return
    for key, word in (("parameters", "parameter"), ("artifacts", "artifact")):
        items = holder.get(key)
        if not isinstance(items, list):
            continue
        seen: set[str] = set()
        for index, item in enumerate(items):
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str):
                if name is None and isinstance(item, dict) and "name" in item:
                    out.append(_nameless((*path, key, index), word))
            elif name in seen:
                out.append(_twice((*path, key, index, "name"), word, name))
            elif wrong := names.parameter_name(name):
                out.append(_bad_name((*path, key, index, "name"), f"{word} name", name, wrong))
            if isinstance(name, str):
                seen.add(name)
            if isinstance(item, dict) and "enum" in item:
                _own_enum(out, item, (*path, key, index))


def _own_enum(out: list[Finding], parameter: dict[str, Any], path: Path) -> None:
    allowed = [_any_string(one) for one in _list(parameter["enum"])]
    for key in ("value", "default"):
        value = _any_string(parameter.get(key))
        if not allowed or value is None or "{{" in value or value in allowed:
            continue
        choice = listed([describe(one) for one in allowed if one is not None][:10] or ["nothing"])
        message = f"{describe(value)} is not in the parameter's own enum; it takes {choice}"
        out.append(Finding((*path, key), FindingCode.NOT_IN_ENUM, message, describe(value), choice))


def _any_string(value: object) -> str | None:
    """Return the text that Argo makes of a parameter value (its type AnyString), or None if it is not accepted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else None


def _metadata(out: list[Finding], metadata: dict[str, Any], path: Path, kind: str) -> None:
    limit = _NAME_LIMITS.get(kind, _DEFAULT_NAME_LIMIT)
    for key, value in metadata.items():
        if not isinstance(value, str) or not value:
            continue
        wrong = ""
        if key == "name":
            wrong = names.object_name(value, limit)
        elif key == "generateName":
            wrong = names.name_prefix(value)
        elif key == "namespace":
            wrong = names.namespace_name(value)
        if wrong:
            out.append(_bad_name((*path, key), key, value, wrong))
    _labels(out, metadata, path)


def _labels(out: list[Finding], metadata: dict[str, Any], path: Path) -> None:
    for key in ("labels", "annotations", "labelsFrom"):
        entries = metadata.get(key)
        if not isinstance(entries, dict):
            continue
        for name, value in entries.items():
            if "{{" not in name and (wrong := names.label_key(name)):
                out.append(_bad_label((*path, key, name), "key", name, wrong))
            if key == "labels" and isinstance(value, str) and "{{" not in value and (wrong := names.label_value(value)):
                out.append(_bad_label((*path, key, name), "value", value, wrong))


def _nameless(path: Path, word: str) -> Finding:
    return Finding(path, FindingCode.MISSING_FIELD, f'the {word} has no "name"', expected="name", suggestion="name")


def _twice(path: Path, word: str, name: str) -> Finding:
    message = f"a second {word} is called {describe(name)}; names must be unique"
    return Finding(path, FindingCode.DUPLICATE_NAME, message, describe(name), "a name that is not used yet")


def _bad_name(path: Path, word: str, name: str, wrong: str) -> Finding:
    return Finding(path, FindingCode.BAD_NAME, f"the {word} {describe(name)} {wrong}", describe(name), wrong)


def _bad_label(path: Path, word: str, text: str, wrong: str) -> Finding:
    holder = "label" if "labels" in path[-2:] else str(path[-2]).removesuffix("s")
    return Finding(path, FindingCode.BAD_LABEL, f"the {holder} {word} {describe(text)} {wrong}", describe(text), wrong)


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else _NOTHING


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
