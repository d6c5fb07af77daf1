"""The name of a workflow, derived once from an event and never changed. Pure; any thread."""

from __future__ import annotations

import base64
import re
import unicodedata

MAX_BASE = 46
_HASH_CHARACTERS = 16
_OTHER = re.compile(r"[^a-z0-9]+")


def workflow_name(base: str, event_id: bytes) -> str:
    """Return BASE-HASH: an RFC 1123 label of at most 63 characters, without dots; the same event gives the same name.

    Args:
        base: generateName, template or mapping name, in any form; ``Über hitzung-`` becomes ``uber-hitzung``. A base
            without letters or digits becomes ``workflow``.
        event_id: at least 10 bytes of a digest; HASH is 80 bits of it as 16 base32 characters.
    """
    digest = base64.b32encode(event_id[:10]).decode("ascii").lower()[:_HASH_CHARACTERS]
    return f"{_label(base)}-{digest}"


def _label(base: str) -> str:
    # Only the beginning matters; a base may come from a message and have any length.
    plain = unicodedata.normalize("NFKD", base[:512]).encode("ascii", "ignore").decode("ascii").lower()
    return _OTHER.sub("-", plain).strip("-")[:MAX_BASE].rstrip("-") or "workflow"
