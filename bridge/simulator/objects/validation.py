"""Validates manifests like the Argo Server and, behind it, kube-apiserver at create and update.

Checks what the server checks before it stores (names, labels, templates, parameters), with the same texts; it stores
and runs nothing. A valid template is not checked again while it is unchanged. Run on the simulator's loop thread.
Source: Argo v4.1 workflow/validate; texts as recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from bridge.simulator.http.answers import ApiError, invalid, not_found
from bridge.simulator.objects.store import Lookup
from bridge.simulator.objects.versions import Release

MAX_NAME = 63
_CONFLICT = 6
_MAX_CACHED = 1000
TEMPLATE_TYPES = (
    "container", "containerSet", "steps", "script", "resource", "dag", "suspend", "data", "http", "plugin",
)  # fmt: skip
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN_RE = re.compile(rf"^{_SUBDOMAIN}$")
_LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_LABEL_VALUE_RE = re.compile(rf"^{_LABEL_VALUE}$")
_LABEL_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_NAME_RE = re.compile(rf"^{_LABEL_NAME}$")
_PARAMETER_NAME = re.compile(r"^[-a-zA-Z0-9_]+$")
_INPUT_REFERENCE = re.compile(r"\{\{inputs\.parameters\.([-A-Za-z0-9_]+)\}\}")
_WORKFLOW_REFERENCE = re.compile(r"\{\{workflow\.parameters\.([-A-Za-z0-9_]+)\}\}")

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{_LABEL_VALUE}')"
)
_LABEL_NAME_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_LABEL_NAME}')"
)


def check_metadata(kind: str, metadata: dict[str, Any], release: Release) -> None:
    """Check a new object's name and labels, like Kubernetes.

    Args:
        kind: `Workflow`, `WorkflowTemplate` or `ClusterWorkflowTemplate`.
        metadata: Its metadata, with the name already made from generateName.
        release: One text depends on it.

    Raises:
        ApiError: 400 (Kubernetes' 422).
    """
    name = metadata.get("name", "")
    prefix = f'{kind}.argoproj.io "{name}" is invalid: '
    if not name:
        cause = "metadata.name: Required value: name or generateName is required"
        if release.long_name_required:
            cause = (
                f"[{cause}, <nil>: Invalid value: null: some validation rules were not checked because the object was "
                "invalid; correct the existing errors to complete validation]"
            )
        raise invalid(prefix + cause)
    if not _SUBDOMAIN_RE.match(name) or len(name) > 253:
        raise invalid(f'{prefix}metadata.name: Invalid value: "{name}": {_SUBDOMAIN_TEXT}')
    for key, value in metadata.get("labels", {}).items():
        if len(value) > MAX_NAME:
            raise invalid(f'{prefix}metadata.labels: Invalid value: "{value}": must be no more than 63 bytes')
        if not _LABEL_VALUE_RE.match(value):
            raise invalid(f'{prefix}metadata.labels: Invalid value: "{value}": {_LABEL_VALUE_TEXT}')
        _check_key(prefix + "metadata.labels", key)
    for key in metadata.get("annotations", {}):
        _check_key(prefix + "metadata.annotations", key.lower())


def _check_key(where: str, key: str) -> None:
    domain, slash, name = key.rpartition("/")
    if len(name) > MAX_NAME or not _LABEL_NAME_RE.match(name) or (slash and not _SUBDOMAIN_RE.match(domain)):
        raise invalid(f'{where}: Invalid value: "{key}": {_LABEL_NAME_TEXT}')


def check_place(metadata: dict[str, Any], namespace: str) -> None:
    """Check that a new object's metadata does not name a different namespace than its request.

    Raises:
        ApiError: 400.
    """
    if metadata.get("namespace", namespace) != namespace:
        raise invalid("the namespace of the provided object does not match the namespace sent on the request")


def check_version(resource: str, before: dict[str, Any], changed: dict[str, Any]) -> None:
    """Check that a changed object is based on the stored one.

    Args:
        resource: E.g. `workflowtemplates`.
        before: Metadata of the stored object.
        changed: Metadata of the changed one.

    Raises:
        ApiError: 400 without a resource version, 409 with another one.
    """
    version, what = changed.get("resourceVersion", ""), f'{resource}.argoproj.io "{before["name"]}"'
    if not version:
        raise invalid(
            f"{what} is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
        )
    if version != before["resourceVersion"]:
        cause = "the object has been modified; please apply your changes to the latest version and try again"
        raise ApiError(_CONFLICT, f"Operation cannot be fulfilled on {what}: {cause}")


def merge_parameters(own: list[dict[str, Any]], base: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a workflow's own parameters, then those of its template that it does not set.

    Args:
        own: `spec.arguments.parameters` of the workflow.
        base: The parameters of the template it refers to.
    """
    given = {parameter.get("name"): parameter for parameter in own}
    merged = [given.pop(parameter.get("name"), parameter) for parameter in base]
    return [*merged, *given.values()]


class Validator:
    """Validates specs, and remembers valid stored templates."""

    def __init__(self) -> None:
        self._good: dict[tuple[str, str], bool] = {}
        self._good_inline: dict[tuple[int, str, str, frozenset[str]], Any] = {}

    def check_workflow(self, workflow: dict[str, Any], lookup: Lookup, *, values_required: bool = True) -> None:
        """Check a workflow before it is stored.

        Args:
            workflow: The decoded manifest.
            lookup: `(name, cluster scope)` to the stored template of that name, or None.
            values_required: Whether arguments must have values; lint does not require them.

        Raises:
            ApiError: 400, or 404 for a missing template.
        """
        metadata, spec = workflow["metadata"], workflow["spec"]
        name = metadata.get("name", "")
        if len(name) > MAX_NAME:
            raise invalid(f'workflow name "{name}" must not be more than 63 characters long (currently {len(name)})')
        reference = spec.get("workflowTemplateRef")
        own = spec["arguments"].get("parameters", [])
        if reference is None:
            self._check_arguments(own, values_required=values_required)
            self._check_inline(spec, lookup)
            return
        if spec.get("templates"):
            raise invalid("Templates is invalid field in spec if workflow referred WorkflowTemplate reference")
        template = find_template(reference, lookup)
        base = template["spec"]
        merged = merge_parameters(own, base["arguments"].get("parameters", []))
        self._check_arguments(merged, values_required=values_required)
        entrypoint = spec.get("entrypoint") or base.get("entrypoint", "")
        key = (template["metadata"]["uid"] + template["metadata"]["resourceVersion"], entrypoint)
        if key not in self._good:
            check_spec({**base, "entrypoint": entrypoint}, self._has_template(lookup), extra=frozenset(_names(own)))
            if not own:  # parameters given here may be what the templates need
                self._good[key] = True

    def _check_inline(self, spec: dict[str, Any], lookup: Lookup) -> None:
        """Check a workflow's own templates; equal ones are one object (thanks to the decoder), identified by its id."""
        templates = spec.get("templates")
        names = frozenset(_names(spec["arguments"].get("parameters", [])))
        key = (id(templates), spec.get("entrypoint", ""), spec.get("onExit", ""), names)
        if key in self._good_inline:
            return
        check_spec(spec, self._has_template(lookup))
        if templates is not None and not any("templateRef" in step for t in templates for _, step in _calls(t)):
            if len(self._good_inline) >= _MAX_CACHED:
                self._good_inline.clear()
            self._good_inline[key] = templates  # kept, so that its id is not reused

    def check_template(self, template: dict[str, Any], lookup: Lookup) -> None:
        """Check a WorkflowTemplate or ClusterWorkflowTemplate; its arguments need no values.

        Raises:
            ApiError: 400.
        """
        name = template["metadata"].get("name", "")
        if len(name) > MAX_NAME:
            raise invalid(
                f'workflow template name "{name}" must not be more than 63 characters long (currently {len(name)})'
            )
        spec = template["spec"]
        for parameter in spec["arguments"].get("parameters", []):
            _check_parameter_name(parameter)
        if spec.get("entrypoint") or spec.get("templates"):
            check_spec(spec, self._has_template(lookup), entrypoint_required=False)

    def _check_arguments(self, parameters: list[dict[str, Any]], *, values_required: bool) -> None:
        for parameter in parameters:
            _check_parameter_name(parameter)
            if values_required and "value" not in parameter and "valueFrom" not in parameter:
                where = f"spec.arguments.{parameter['name']}"
                raise invalid(f"{where}.value or {where}.valueFrom is required")
            if "{{inputs.parameters." in parameter.get("value", ""):
                raise invalid(f"spec.arguments: failed to resolve {parameter['value']}")

    def _has_template(self, lookup: Lookup) -> Callable[[dict[str, Any]], bool]:
        def has(reference: dict[str, Any]) -> bool:
            stored = lookup(reference.get("name", ""), bool(reference.get("clusterScope")))
            return stored is not None and reference.get("template") in _names(stored["spec"].get("templates", []))

        return has


def find_template(reference: dict[str, Any], lookup: Lookup) -> dict[str, Any]:
    """Return the stored template that a `workflowTemplateRef` names.

    Raises:
        ApiError: 404 in the server's words.
    """
    name, cluster = reference.get("name", ""), bool(reference.get("clusterScope"))
    template = lookup(name, cluster)
    if template is None:
        raise not_found("clusterworkflowtemplates" if cluster else "workflowtemplates", name)
    return template


def _names(items: list[dict[str, Any]]) -> set[str]:
    return {item.get("name", "") for item in items}


def _check_parameter_name(parameter: dict[str, Any]) -> None:
    name = parameter.get("name", "")
    if not _PARAMETER_NAME.match(name):
        raise invalid(
            f"spec.arguments.parameters[0].name: '{name}' is invalid: Parameter/Artifact names must consist of "
            "alpha-numeric characters, '_' or '-' e.g. my_param_1, MY-PARAM-1"
        )


def check_spec(
    spec: dict[str, Any],
    has_template: Callable[[dict[str, Any]], bool],
    *,
    entrypoint_required: bool = True,
    extra: frozenset[str] = frozenset(),
) -> None:
    """Check entrypoint and templates of a spec.

    Args:
        spec: A workflow's spec, or a template's with the workflow's entrypoint.
        has_template: Whether a `templateRef` names an existing template.
        entrypoint_required: False for stored templates.
        extra: Names of workflow parameters from elsewhere.

    Raises:
        ApiError: 400.
    """
    templates = spec.get("templates", [])
    names = _names(templates)
    for template in templates:
        if not any(kind in template for kind in TEMPLATE_TYPES):
            kinds = ", ".join(TEMPLATE_TYPES)
            raise invalid(f"templates.{template.get('name', '')} template type unspecified. choose one of: {kinds}")
    entrypoint = spec.get("entrypoint", "")
    if not entrypoint and entrypoint_required:
        raise invalid("spec.entrypoint is required")
    for wanted in (entrypoint, spec.get("onExit", "")):
        if wanted and wanted not in names:
            raise invalid(f"template name '{wanted}' undefined")
    parameters = _names(spec["arguments"].get("parameters", [])) | extra | {"json"}  # json: all of them, built in
    for template in templates:
        _check_calls(template, names, has_template)
        _check_references(template, parameters)


def _check_calls(template: dict[str, Any], names: set[str], has_template: Callable[[dict[str, Any]], bool]) -> None:
    where = f"templates.{template.get('name', '')}"
    seen: set[str] = set()
    for place, step in _calls(template):
        name = step.get("name", "")
        if name in seen:
            raise invalid(f"{where}.{place}.name '{name}' is not unique")
        seen.add(name)
        if "inline" in step:
            continue
        reference = step.get("templateRef")
        if reference is not None:
            if not has_template(reference):
                found = f"{reference.get('name', '')}.{reference.get('template', '')}"
                raise invalid(f"{where}.{place}.{name} template reference {found} not found")
        elif step.get("template", "") not in names:
            raise invalid(f"{where}.{place}.{name} template name '{step.get('template', '')}' undefined")


def _calls(template: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    calls = [(f"steps[{i}]", step) for i, group in enumerate(template.get("steps", [])) for step in group]
    return calls + [("tasks", task) for task in template.get("dag", {}).get("tasks", [])]


def _check_references(template: dict[str, Any], parameters: set[str]) -> None:
    text = orjson.dumps(template)
    if b"{{" not in text:
        return
    decoded = text.decode()
    inputs = _names(template["inputs"].get("parameters", []))
    for name in _INPUT_REFERENCE.findall(decoded):
        if name not in inputs:
            raise _unresolved(template, f"inputs.parameters.{name}")
    for name in _WORKFLOW_REFERENCE.findall(decoded):
        if name not in parameters:
            raise _unresolved(template, f"workflow.parameters.{name}")


def _unresolved(template: dict[str, Any], reference: str) -> ApiError:
    return invalid(f"templates.{template.get('name', '')}: failed to resolve {{{{{reference}}}}}")
