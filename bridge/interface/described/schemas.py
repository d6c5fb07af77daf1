"""The JSON Schemas of the message interface: every request, reply and body, as files and by name. Pure; any thread.

`make generate` writes schemas/interface; a test compares.
"""

from __future__ import annotations

from bridge.interface.described.schema_bodies import body_schemas
from bridge.interface.described.schema_parts import DIALECT, Schema, references
from bridge.interface.described.schema_requests import request_schemas, words
from bridge.interface.operations import Operation

_BODIES = {
    "error": "ErrorReply",
    "status": "Status",
    "status-update": "StatusUpdate",
    "status-update.reply": "StatusUpdateReply",
    "dead-letter": "DeadLetter",
    "availability": "Availability",
    "state": "State",
    "report": "Report",
}


def named_schemas() -> dict[str, Schema]:
    """Return every schema by its name; they refer to each other by ``#/$defs/NAME``."""
    return {**dict(request_schemas()), **dict(body_schemas())}


def interface_schemas() -> dict[str, Schema]:
    """Return the files of schemas/interface by name: each is self-contained, in draft 2020-12.

    ``OPERATION.request.json`` and ``OPERATION.reply.json``, and one file per body.
    """
    roots = dict(_BODIES)
    for operation in Operation:
        for kind in ("Request", "Reply"):
            roots[f"{operation.value}.{kind.lower()}"] = words(operation) + kind
    named = named_schemas()
    return {f"{name}.json": _file(root, named) for name, root in sorted(roots.items())}


def _file(root: str, named: dict[str, Schema]) -> Schema:
    used: set[str] = set()
    waiting = [root]
    while waiting:
        found = references(named[waiting.pop()]) - used
        used |= found
        waiting += found
    definitions = {"$defs": {name: named[name] for name in sorted(used)}} if used else {}
    return {"$schema": DIALECT, "title": f"argo-bridge: {root}", **named[root], **definitions}
