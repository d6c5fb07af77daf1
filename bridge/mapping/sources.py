"""The workflow of a mapping without the parts that differ between events: bytes made once and shared by all events.

Checks only what makes a manifest unusable here; `validation` checks Argo's fields. Thread: whichever loads a
configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from bridge.configfile.nodes import plain
from bridge.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as MappingOf

    from bridge.mapping.definition import MappingDefinition, WorkflowDefinition

    TemplateManifest = Callable[[str, bool], MappingOf[str, Any]]
    """(name, whether it is a ClusterWorkflowTemplate) -> a workflow object that runs that template."""


def base_name(definition: MappingDefinition) -> str:
    """Return the prefix of generated names: generate-name, else the template's, manifest's or mapping's name."""
    workflow = definition.workflow
    metadata = _manifest_of(workflow).get("metadata") or {}
    given = metadata if isinstance(metadata, dict) else {}
    candidates = (
        workflow.generate_name,
        workflow.template,
        workflow.cluster_template,
        given.get("generateName"),
        given.get("name"),
    )
    return next((name for name in candidates if isinstance(name, str) and name), definition.name)


def manifest_bytes(
    workflow: WorkflowDefinition, annotations: MappingOf[str, str], template_manifest: TemplateManifest
) -> bytes:
    """Return the workflow object as JSON, without name and namespace: ``{"metadata": {...}, "spec": {...}}``.

    `annotations` are those that are the same for every event.

    Raises:
        ConfigError: the manifest is not a Workflow.
    """
    if workflow.template or workflow.cluster_template:
        source = dict(template_manifest(workflow.template or workflow.cluster_template or "", not workflow.template))
    elif workflow.spec is not None:
        source = {"spec": workflow.spec}
    else:
        source = _manifest_of(workflow)
    metadata, spec = _parts(source, workflow.namespace)
    for key, added in (("labels", workflow.labels), ("annotations", annotations)):
        merged = {**(metadata.get(key) or {}), **added}
        if merged:
            metadata[key] = merged
    for key, value in (("entrypoint", workflow.entrypoint), ("serviceAccountName", workflow.service_account)):
        if value:
            spec[key] = value
    try:
        return orjson.dumps({"metadata": metadata, "spec": spec} if metadata else {"spec": spec})
    except orjson.JSONEncodeError as error:
        raise ConfigError(f"read manifest: {error}", code="bad-manifest") from error


def _manifest_of(workflow: WorkflowDefinition) -> dict[str, Any]:
    tree: dict[str, Any] = {} if workflow.manifest_tree is None else plain(workflow.manifest_tree)
    return tree


def _parts(source: MappingOf[str, Any], namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return copies of metadata and spec; name and generateName are left out, because every event gets its own."""
    kind = source.get("kind", "Workflow")
    if kind != "Workflow":
        raise ConfigError(f'read manifest: its kind is "{kind}"; a mapping starts a Workflow', code="bad-manifest")
    metadata, spec = source.get("metadata") or {}, source.get("spec")
    if not isinstance(spec, dict) or not isinstance(metadata, dict):
        raise ConfigError(
            "read manifest: spec is required and must be a map, and metadata must be a map", code="bad-manifest"
        )
    unwanted = sorted(source.keys() - {"apiVersion", "kind", "metadata", "spec"})
    if unwanted:
        raise ConfigError(f'read manifest: "{unwanted[0]}" cannot be set when starting a workflow', code="bad-manifest")
    named = metadata.get("namespace")
    if named not in (None, namespace):
        message = f'read manifest: its namespace is "{named}", and the mapping\'s is "{namespace}"'
        raise ConfigError(message, code="bad-manifest")
    for key in ("labels", "annotations"):
        if not isinstance(metadata.get(key) or {}, dict):
            raise ConfigError(f"read manifest: metadata.{key} must be a map", code="bad-manifest")
    kept = {key: value for key, value in metadata.items() if key not in ("name", "generateName", "namespace")}
    return kept, dict(spec)
