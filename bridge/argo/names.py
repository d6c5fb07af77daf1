"""The name of a workflow, derived once from an event and never changed. Pure; any thread."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_BASE = 46
# Source: RFC 4648 section 6, in lower case. Two characters each: 10 bits.
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _BASE32 for second in _BASE32]
_SHIFTS = range(70, -10, -10)
_OTHER = re.compile(r"[^a-z0-9]+")


def workflow_name(base: str, event_id: bytes) -> str:
    """Return BASE-HASH: an RFC 1123 label of at most 63 characters, without dots; the same event gives the same name.

    A base (generateName, template or mapping name) has any form: ``Über hitzung-`` becomes ``uber-hitzung``, and one
    without letters or digits ``workflow``. HASH is 80 bits of the event id as 16 base32 characters.
    """
    number = int.from_bytes(event_id[:10], "big")
    # Only the beginning matters; a base may come from a message and have any length.
    return f"{_label(base[:512])}-{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


@lru_cache(maxsize=1024)
def _label(base: str) -> str:
    plain = unicodedata.normalize("NFKD", base).encode("ascii", "ignore").decode("ascii").lower()
    return _OTHER.sub("-", plain).strip("-")[:MAX_BASE].rstrip("-") or "workflow"
