"""What a publisher may ask for: namespaces, manifests, names, labels and the ``{{`` rule (DESIGN 2.6, 6). Pure.

The shape of a manifest is checked elsewhere (validator); this module decides what is allowed whatever its shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.core.errors import PermanentError
from bridge.core.nearest import did_you_mean

MAX_NAME = 63
OWN_PREFIX = "argo-bridge/"
ARGO_PREFIX = "workflows.argoproj.io/"
BRACES = "{{"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's allow-lists.

    Attributes:
        namespaces: where workflows may be created; the first is the default.
        manifests: whether a trigger message may carry a whole manifest.
    """

    namespaces: tuple[str, ...]
    manifests: bool = True

    def namespace(self, in_topic: str, in_body: str) -> str:
        """Return the namespace of a request.

        Args:
            in_topic: the topic's last level, or "".
            in_body: the body's ``namespace``, or "".

        Raises:
            PermanentError: ``namespace-mismatch`` or ``forbidden-namespace``.
        """
        if in_topic and in_body and in_topic != in_body:
            raise PermanentError(
                f'the topic says namespace "{in_topic}", the body "{in_body}"', code="namespace-mismatch"
            )
        chosen = in_topic or in_body or self.namespaces[0]
        if chosen not in self.namespaces:
            hint = did_you_mean(chosen, self.namespaces)
            raise PermanentError(f'namespace "{chosen}" is not allowed here{hint}', code="forbidden-namespace")
        return chosen

    def check_manifest(self, workflow: Mapping[str, object], namespace: str) -> None:
        """Refuse what no trigger message may carry; all findings at once.

        Args:
            workflow: the body's ``workflow``.
            namespace: the request's.

        Raises:
            PermanentError: ``manifests-not-allowed``, or ``invalid-workflow`` with one detail a finding.
        """
        if not self.manifests:
            raise PermanentError(
                "this bridge takes no manifests, only templates (key submit)", code="manifests-not-allowed"
            )
        found = [*_top_findings(workflow), *metadata_findings(workflow.get("metadata", {}), namespace)]
        raise_findings(found)


def raise_findings(found: list[dict[str, str]]) -> None:
    """Raise ``invalid-workflow`` if there are findings, each ``{"path": JSON pointer, "message": sentence}``.

    Raises:
        PermanentError: with the findings as details.
    """
    if found:
        text = "; ".join(f"{item['path']}: {item['message']}" for item in found[:3])
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise PermanentError(f"{text}{more}", code="invalid-workflow", details=tuple(found))


def _top_findings(workflow: Mapping[str, object]) -> list[dict[str, str]]:
    found = []
    if "status" in workflow:
        found.append(_finding("/status", "status is Argo's to write; Argo would store it as it is"))
    if not isinstance(workflow.get("spec"), dict):
        found.append(_finding("/spec", "a workflow has a spec, an object"))
    kind = workflow.get("kind", "Workflow")
    if kind != "Workflow":
        found.append(_finding("/kind", f"only a Workflow can be triggered, found {kind!r}"))
    return found


def metadata_findings(metadata: object, namespace: str) -> list[dict[str, str]]:
    """Return what is wrong with a manifest's metadata, as findings with JSON pointers."""
    if not isinstance(metadata, dict):
        return [_finding("/metadata", "metadata is an object")]
    found = []
    given = metadata.get("namespace")
    if given is not None and given != namespace:
        found.append(_finding("/metadata/namespace", f'it is "{given}", the request\'s namespace is "{namespace}"'))
    if "name" in metadata:
        found += _as_findings("/metadata/name", name_problem(metadata["name"]))
    if "generateName" in metadata and not isinstance(metadata["generateName"], str):
        found.append(_finding("/metadata/generateName", "it is a text"))
    for kind in ("labels", "annotations"):
        found += _map_findings(kind, metadata.get(kind, {}))
    return found


def _map_findings(kind: str, values: object) -> list[dict[str, str]]:
    if values is None:
        return []
    if not isinstance(values, dict):
        return [_finding(f"/metadata/{kind}", f"{kind} is an object")]
    found = []
    for key, value in values.items():
        path = f"/metadata/{kind}/{key.replace('~', '~0').replace('/', '~1')}"
        if key.startswith(OWN_PREFIX):
            found.append(_finding(path, f"keys {OWN_PREFIX}* belong to the bridge"))
        elif kind == "labels" and key.startswith(ARGO_PREFIX):
            found.append(_finding(path, f"labels {ARGO_PREFIX}* belong to Argo; it would store them as they are"))
        elif kind == "labels":
            found += _as_findings(path, label_problem(key, value))
        elif not isinstance(value, str):
            found.append(_finding(path, "an annotation's value is a text"))
    return found


def name_problem(name: object) -> str:
    """Return why `name` cannot be a workflow's name, or "".

    Source: server-api.md section 5 (Argo: 63 characters; Kubernetes: RFC 1123 subdomain).
    """
    if not isinstance(name, str) or not name:
        return "a name is a text that is not empty"
    if len(name) > MAX_NAME:
        return f"a workflow's name has at most {MAX_NAME} characters, found {len(name)}"
    if not _NAME.fullmatch(name):
        return f'"{name}" is not a valid name: lower case letters, digits, "-" and ".", a letter or digit at each end'
    return ""


def label_problem(key: str, value: object) -> str:
    """Return why a label is not valid in Kubernetes, or "" (server-api.md section 5)."""
    prefix, slash, name = key.rpartition("/")
    if len(name) > MAX_NAME or not _LABEL_NAME.fullmatch(name) or (slash and not _NAME.fullmatch(prefix)):
        return f'"{key}" is not a valid label key'
    if not isinstance(value, str):
        return "a label's value is a text"
    if len(value) > MAX_NAME or not _LABEL_VALUE.fullmatch(value):
        return "a label's value has at most 63 letters, digits, -, _ and ., a letter or digit at each end"
    return ""


def check_parameters(parameters: Mapping[str, str], where: str) -> None:
    """Refuse values that Argo would expand: anything with ``{{`` (DESIGN 6; server-api.md section 12).

    Raises:
        PermanentError: ``template-braces``, naming each parameter.
    """
    names = sorted(name for name, value in parameters.items() if BRACES in value)
    if names:
        raise PermanentError(
            f"the value of {where} {', '.join(names[:5])} contains {BRACES}, which Argo would expand",
            code="template-braces",
            details=tuple(_finding(f"/{where}/{name}", f"its value contains {BRACES}") for name in names),
        )


def _as_findings(path: str, problem: str) -> list[dict[str, str]]:
    return [_finding(path, problem)] if problem else []


def _finding(path: str, message: str) -> dict[str, str]:
    return {"path": path, "message": message}
