"""The `fields` query parameter of get, list and watch.

Reduces an object to the listed paths, or removes them (a leading `-` excludes the whole list). Arrays are transparent.
It never changes its input, which is shared with watchers and the store. Pure; run on the simulator's loop thread.
Source: Argo v4.1 util/fields.
"""

from __future__ import annotations

from typing import Any

Trie = dict[str, Any]


class FieldFilter:
    """A compiled `fields` value.

    Attributes:
        text: The value it was compiled from; equal texts give equal results, so it can key a cache.
        exclude: True if the listed paths are removed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.exclude = text.startswith("-")
        self._trie: Trie = {}
        for path in text.split(","):
            self._add(path.strip().removeprefix("-"))

    def _add(self, path: str) -> None:
        node = self._trie
        parts = path.split(".")
        for part in parts[:-1]:
            child = node.get(part)
            if child is True:  # a shorter path already includes everything below
                return
            if child is None:
                child = node[part] = {}
            node = child
        node[parts[-1]] = True

    def apply(self, value: Any) -> Any:
        """Return a filtered copy of `value`."""
        return _exclude(value, self._trie) if self.exclude else _include(value, self._trie)

    def below(self, prefix: str) -> FieldFilter:
        """Return the filter for values under `prefix` (a dotted path ending in a dot); other paths are unchanged."""
        sign = "-" if self.exclude else ""
        paths = [path.strip().removeprefix("-") for path in self.text.split(",")]
        return FieldFilter(sign + ",".join(path.removeprefix(prefix) for path in paths))


def parse_fields(text: str) -> FieldFilter | None:
    """Compile a `fields` value; None if it is empty and everything is wanted."""
    return FieldFilter(text) if text else None


def _include(value: Any, trie: Trie) -> Any:
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for key, below in trie.items():
            if key in value:
                kept[key] = value[key] if below is True else _include(value[key], below)
        return kept
    if isinstance(value, list):
        return [_include(item, trie) for item in value]
    return value


def _exclude(value: Any, trie: Trie) -> Any:
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        for key, item in value.items():
            below = trie.get(key)
            if below is None:
                kept[key] = item
            elif below is not True:
                kept[key] = _exclude(item, below)
        return kept
    if isinstance(value, list):
        return [_exclude(item, trie) for item in value]
    return value
