"""Reads keys of JSON from other systems: missing, null and wrongly typed values count as empty. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def object_in(payload: bytes) -> dict[str, Any] | None:
    """Return a payload that is a JSON object, otherwise None."""
    try:
        body = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def object_at(parent: object, key: str) -> Mapping[str, Any]:
    """Return the object under `key`, or {}."""
    value = parent.get(key) if isinstance(parent, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def list_at(parent: object, key: str) -> list[Any]:
    """Return the array under `key`, or []."""
    value = parent.get(key) if isinstance(parent, Mapping) else None
    return value if isinstance(value, list) else []


def text_at(parent: object, key: str) -> str:
    """Return the string under `key`, or ""."""
    value = parent.get(key) if isinstance(parent, Mapping) else None
    return value if isinstance(value, str) else ""
