"""Builds the bodies of replies to reads from Argo's objects, and leaves out parts that exceed a packet. Pure.

Objects come from Argo and may have any structure: nothing here raises because of one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.core.errors import PermanentError, cut
from bridge.core.model import Phase
from bridge.interface.failures import find_failed_node, message_for
from bridge.interface.keys import ANY_TEXT, REQUIRED, declared
from bridge.interface.loose_json import list_at, object_at, text_at
from bridge.interface.status import percentage

Object = Mapping[str, Any]

_DESCRIPTION = "workflows.argoproj.io/description"
# Parts that are left out to make an object fit, in this order; then everything except its identity.
_LEFT_OUT = (
    "status.storedTemplates",
    "status.storedWorkflowTemplateSpec",
    "status.compressedNodes",
    "status.nodes",
    "spec.templates",
    "spec.workflowSpec.templates",
    "status.outputs",
    "metadata.annotations",
    "spec",
    "metadata.labels",
    "status",
)
_IDENTITY = ("name", "namespace", "uid")
MAX_MESSAGE = 256
MAX_TEMPLATE_PARAMETERS = 50


def workflow_status(workflow: Object, max_message: int | None = None) -> dict[str, Any]:
    """Return the five keys of a status message for the current state.

    Args:
        workflow: as returned by Argo; only its nodes show which step of a failed one failed.
        max_message: maximum number of characters of ``message``, None = all.
    """
    metadata, status = object_at(workflow, "metadata"), object_at(workflow, "status")
    message = message_for(text_at(status, "message"), find_failed_node(workflow))
    return {
        "namespace": text_at(metadata, "namespace"),
        "workflowId": text_at(metadata, "name"),
        "status": text_at(status, "phase") or Phase.PENDING.value,
        "progress": percentage(text_at(status, "progress")),
        "message": message if max_message is None else cut(message, max_message),
    }


def listed_workflow(workflow: Object, mapping: str) -> dict[str, Any]:
    """Return one item of ``workflows``: the five keys of a status message, and ``details``."""
    metadata, status = object_at(workflow, "metadata"), object_at(workflow, "status")
    details = {
        "uid": text_at(metadata, "uid"),
        "mapping": mapping,
        "createdAt": text_at(metadata, "creationTimestamp"),
        "startedAt": text_at(status, "startedAt"),
        "finishedAt": text_at(status, "finishedAt"),
    }
    return workflow_status(workflow, MAX_MESSAGE) | {"details": {key: text for key, text in details.items() if text}}


def listed_template(template: Object) -> dict[str, Any]:
    """Return one item of ``templates``: its name, and what is needed to trigger it."""
    metadata, spec = object_at(template, "metadata"), object_at(template, "spec")
    given = list_at(object_at(spec, "arguments"), "parameters")[:MAX_TEMPLATE_PARAMETERS]
    parameters = [
        {key: entry[key] for key in ("name", "value", "default", "enum", "description") if entry.get(key) is not None}
        for entry in given
        if isinstance(entry, Mapping)
    ]
    told = {
        "description": cut(text_at(object_at(metadata, "annotations"), _DESCRIPTION), MAX_MESSAGE),
        "entrypoint": text_at(spec, "entrypoint"),
        "parameters": parameters,
        "createdAt": text_at(metadata, "creationTimestamp"),
    }
    return {"template": text_at(metadata, "name"), **{key: value for key, value in told.items() if value}}


def continue_behind(place: tuple[str, ...]) -> str:
    """Return the ``continue`` of a page that ends with the item at `place`; its meaning is internal.

    Args:
        place: the sort key of an item; it never changes, so that no item is skipped or repeated.
    """
    return base64.urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode("ascii")


def place_of(text: str) -> tuple[str, ...]:
    """Return the place in a ``continue``.

    Raises:
        PermanentError: ``invalid-request``: it is not from a reply.
    """
    try:
        place = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        place = None
    if not isinstance(place, list) or not place or not all(isinstance(item, str) for item in place):
        raise PermanentError("unknown `continue` value; use one from a reply", code="invalid-request")
    return tuple(place)


def fitting(items: Sequence[Any], room: int) -> int:
    """Return how many of the first `items` fit into `room` bytes of a JSON array."""
    for count, item in enumerate(items):
        room -= len(orjson.dumps(item)) + 1
        if room < 0:
            return count
    return len(items)


@dataclass(frozen=True, slots=True)
class Trimmed:
    """An object that fits, and the parts left out.

    Attributes:
        value: the object.
        left_out: dotted paths, () if nothing was left out.
    """

    value: dict[str, Any]
    left_out: tuple[str, ...] = ()

    @property
    def details(self) -> dict[str, Any]:
        """Return the key ``details`` of its reply, or {}."""
        return {"details": {"truncated": True, "leftOut": list(self.left_out)}} if self.left_out else {}


def trimmed(whole: Object, room: int) -> Trimmed:
    """Return `whole` without the parts that do not fit into `room` bytes; nodes and templates are removed first."""
    value = dict(whole)
    if len(orjson.dumps(value)) <= room:
        return Trimmed(value)
    left_out: list[str] = []
    for path in _LEFT_OUT:
        shorter = without(value, path)
        if shorter == value:
            continue
        value = shorter
        left_out.append(path)
        if len(orjson.dumps(value)) <= room:
            return Trimmed(value, tuple(left_out))
    metadata = object_at(whole, "metadata")
    return Trimmed(
        {"metadata": {key: cut(text_at(metadata, key)) for key in _IDENTITY}}, ("metadata", "spec", "status")
    )


def without(value: Object, path: str) -> dict[str, Any]:
    """Return a copy of `value` without the value at a dotted path; all other parts are shared."""
    head, _, rest = path.partition(".")
    copy = dict(value)
    if not rest:
        copy.pop(head, None)
    elif isinstance(copy.get(head), Mapping):
        copy[head] = without(copy[head], rest)
    return copy


def selected(value: Object, fields: str) -> dict[str, Any]:
    """Return the part of an object selected by ``fields``, with the rules of the Argo Server's own parameter.

    Comma-separated dotted paths; with ``-`` before the first they are left out, otherwise only they are kept; lists are
    transparent.
    """
    paths = [path.strip().removeprefix("-").split(".") for path in fields.split(",")]
    chosen = [path for path in paths if path != [""]]
    found = _left(value, chosen) if fields.startswith("-") else _kept(value, chosen)
    return found if isinstance(found, dict) else {}


def _below(paths: Iterable[list[str]], key: str) -> list[list[str]]:
    return [path[1:] for path in paths if path[0] == key]


def _kept(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_kept(item, paths) for item in value]
    if not isinstance(value, Mapping):
        return value
    kept = {}
    for key, inner in value.items():
        below = _below(paths, key)
        if below:
            kept[key] = inner if [] in below else _kept(inner, below)
    return kept


def _left(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        return [_left(item, paths) for item in value]
    if not isinstance(value, Mapping):
        return value
    left = {}
    for key, inner in value.items():
        below = _below(paths, key)
        if [] not in below:
            left[key] = _left(inner, below) if below else inner
    return left


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line written by a container: an item of ``lines``, which orjson writes as it is."""

    pod: str = declared(ANY_TEXT, "the pod that wrote it", REQUIRED)
    text: str = declared(ANY_TEXT, "the line, without its line break", REQUIRED)


def line_cut(line: LogLine, room: int) -> LogLine:
    """Return `line` with its text cut to fit into `room` bytes of JSON."""
    while len(orjson.dumps(line)) > room and len(line.text) > 1:
        line = LogLine(line.pod, line.text[: len(line.text) // 2] + "…" if len(line.text) > 2 else "…")
    return line


def last_lines(lines: Sequence[LogLine], room: int) -> tuple[list[LogLine], bool]:
    """Return the last of `lines` that fit into `room` bytes, and whether any was left out or cut."""
    kept: list[LogLine] = []
    for line in reversed(lines):
        size = len(orjson.dumps(line)) + 1
        if size > room:
            return (kept[::-1], True) if kept else ([line_cut(line, room)], True)
        room -= size
        kept.append(line)
    return kept[::-1], False


def in_packets(lines: Sequence[LogLine], room: int) -> Iterator[tuple[list[LogLine], bool]]:
    """Yield all of `lines` in groups that each fit into `room` bytes, and whether a line of the group was cut."""
    group: list[LogLine] = []
    left, is_cut = room, False
    for line in lines:
        fit = line_cut(line, room - 1)
        size = len(orjson.dumps(fit)) + 1
        if size > left and group:
            yield group, is_cut
            group, left, is_cut = [], room, False
        group.append(fit)
        left -= size
        is_cut = is_cut or fit is not line
    if group:
        yield group, is_cut
