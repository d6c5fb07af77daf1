"""What a client may request: namespaces, manifests, names, labels, and the ``{{`` rule. Pure.

Structure, names and labels are checked by the validator. This module decides what is allowed, whatever the structure,
and does not rely on earlier checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from bridge.core import strict_json
from bridge.core.errors import PermanentError, cut
from bridge.core.nearest import did_you_mean
from bridge.interface.loose_json import object_at
from bridge.validation.finding import MAX_FINDINGS, Path, describe

MAX_SHOWN = 64
METADATA_KEYS = ("name", "generateName", "namespace", "labels", "annotations")
OWN_PREFIX = "argo-bridge/"
ARGO_PREFIX = "workflows.argoproj.io/"
BRACES = "{{"


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's allow-lists; None allows all.

    Attributes:
        namespaces: where workflows may be created; the first is the default.
        manifests: whether a trigger message may contain a whole manifest.
        service_accounts: which ones ``submit`` may name.
        entrypoints: which ones ``submit`` may name.
        parameters: names of parameters that a request may set.
    """

    namespaces: tuple[str, ...]
    manifests: bool = True
    service_accounts: tuple[str, ...] | None = None
    entrypoints: tuple[str, ...] | None = None
    parameters: tuple[str, ...] | None = None

    def namespace(self, in_topic: str | None, in_body: str) -> str:
        """Return the namespace of a request: the topic's last level (None: there is none), the body's, or the default.

        Raises:
            PermanentError: ``namespace-mismatch`` or ``forbidden-namespace``.
        """
        if in_topic is not None and in_body and in_topic != in_body:
            text = f'the topic says namespace "{cut(in_topic, MAX_SHOWN)}", the body "{cut(in_body, MAX_SHOWN)}"'
            raise PermanentError(text, code="namespace-mismatch")
        chosen = (in_body or self.namespaces[0]) if in_topic is None else in_topic
        if chosen not in self.namespaces:
            text = f'namespace "{cut(chosen, MAX_SHOWN)}" is not allowed here{did_you_mean(chosen, self.namespaces)}'
            raise PermanentError(text, code="forbidden-namespace")
        return chosen

    def check_manifest(self, workflow: Mapping[str, object], namespace: str) -> None:
        """Refuse what no trigger message may contain in its ``workflow``; reports all findings at once.

        Raises:
            PermanentError: ``manifests-not-allowed``, or ``invalid-workflow`` with one detail per finding.
        """
        if not self.manifests:
            raise PermanentError(
                "this bridge takes no manifests, only templates (key submit)", code="manifests-not-allowed"
            )
        self.check_marks(workflow, namespace)
        # Its spec is the sender's own code, which Argo expands; the rest may be read by other templates.
        check_braces(object_at(workflow, "metadata"), ("metadata",))

    def check_submit(self, service_account: str, entrypoint: str, parameters: Iterable[str], path: Path) -> None:
        """Refuse what a request may not set on a stored template; `path` is the position of these values, for messages.

        Raises:
            PermanentError: ``submit-not-allowed`` with one detail per finding.
        """
        given = [
            (("serviceAccount",), service_account, self.service_accounts, "service-accounts"),
            (("entrypoint",), entrypoint, self.entrypoints, "entrypoints"),
            *((("parameters", name), name, self.parameters, "parameters") for name in parameters),
        ]
        found = [
            _finding((*path, *place), f'"{cut(value, MAX_SHOWN)}" is not one of interface.submit.{key}')
            for place, value, allowed, key in given
            if value and allowed is not None and value not in allowed
        ]
        _raise_findings(found[:MAX_FINDINGS], "submit-not-allowed")

    def check_marks(self, workflow: Mapping[str, object], namespace: str) -> None:
        """Refuse what belongs to Argo, to the bridge or to another namespace, wherever the workflow comes from.

        Raises:
            PermanentError: ``invalid-workflow`` with one detail per finding.
        """
        spec = object_at(workflow, "spec")
        _raise_findings(
            [
                *_top_findings(workflow),
                *_metadata_findings(object_at(workflow, "metadata"), namespace),
                *_key_findings(object_at(workflow, "metadata"), ("metadata",)),
                # Argo sets these on the workflow when it starts it, and overwrites what was there.
                *_key_findings(object_at(spec, "workflowMetadata"), ("spec", "workflowMetadata")),
            ]
        )


def _raise_findings(found: list[dict[str, str]], code: str = "invalid-workflow") -> None:
    if found:
        text = "; ".join(f"{item['pointer']}: {item['message']}" for item in found[:3])
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise PermanentError(f"{text}{more}", code=code, details=tuple(found))


def _top_findings(workflow: Mapping[str, object]) -> Iterator[dict[str, str]]:
    if "status" in workflow:
        yield _finding(("status",), "status is Argo's to write; Argo would store it as it is")
    if not isinstance(workflow.get("spec"), dict):
        yield _finding(("spec",), "a workflow has a spec, an object")
    kind = workflow.get("kind", "Workflow")
    if kind != "Workflow":
        yield _finding(("kind",), f"only a Workflow can be triggered, found {describe(kind)}")


def _metadata_findings(metadata: Mapping[str, object], namespace: str) -> Iterator[dict[str, str]]:
    for key, value in metadata.items():
        # Exported manifests have "creationTimestamp": null, which counts as absent.
        if key not in METADATA_KEYS and value is not None:
            text = "of metadata only name, generateName, labels and annotations are taken"
            yield _finding(("metadata", key), text)
    given = metadata.get("namespace")
    if given is not None and given != namespace:
        text = f'it is {describe(given)}, the request\'s namespace is "{namespace}"'
        yield _finding(("metadata", "namespace"), text)


def _key_findings(holder: Mapping[str, object], path: Path) -> Iterator[dict[str, str]]:
    for kind in ("labels", "labelsFrom", "annotations"):
        for key in object_at(holder, kind):
            if key.startswith(OWN_PREFIX):
                yield _finding((*path, kind, key), f"keys {OWN_PREFIX}* belong to the bridge")
            elif kind != "annotations" and key.startswith(ARGO_PREFIX):
                text = f"labels {ARGO_PREFIX}* belong to Argo; it would store them as they are"
                yield _finding((*path, kind, key), text)


def check_braces(given: Mapping[str, object], path: Path = ()) -> None:
    """Refuse keys and values from outside that Argo would expand: all that contain ``{{``, at any depth.

    A template can read annotations, labels, names and parameters of its workflow, and the result is expanded again.
    Source: docs/design/argo-server.md.

    Raises:
        PermanentError: ``template-braces``, naming each place.
    """
    found = list(islice(_braces(given, path), MAX_FINDINGS))
    if found:
        shown = ", ".join(".".join(cut(str(step), MAX_SHOWN) for step in place) for place in found[:5])
        more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
        raise PermanentError(
            f"{shown}{more} contains {BRACES}, which Argo would expand",
            code="template-braces",
            details=tuple(_finding(place, f"it contains {BRACES}") for place in found),
        )


def _braces(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, str):
        if BRACES in value:
            yield path
        return
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in inner:
        place = (*path, key)
        if isinstance(key, str) and BRACES in key:
            yield place
        else:
            yield from _braces(item, place)


def _finding(path: Path, message: str) -> dict[str, str]:
    return {"pointer": strict_json.pointer(cut(str(step)) for step in path), "message": message}
