"""Reads Kubernetes manifests as Argo reads them: YAML 1.1 as Go's ``sigs.k8s.io/yaml`` understands it, and JSON.

Differs from `source`, which reads the bridge's own files as YAML 1.2: here ``y`` is true, ``0o755``, ``0755`` and
``1e1`` are numbers, timestamps stay text, keys that are numbers or booleans become text, and a file may have any number
of documents. Duplicate keys are refused, also from ``<<``. Never constructs objects from tags and never raises because
of a file's content.

Thread: the command's main thread; no state is kept.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final

import yaml

from bridge.configfile.nodes import Entry, MapNode, Node, ScalarNode, quote
from bridge.configfile.problems import Code, Problems
from bridge.configfile.trees import RefusedError, TreeBuilder, text_of_file

MAX_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 100
MAX_NODES: Final = 500_000

_TRUE = ("y", "yes", "true", "on")
_FALSE = ("n", "no", "false", "off")
_WORDS: dict[str, bool | None] = {
    **{form: True for word in _TRUE for form in (word, word.capitalize(), word.upper())},
    **{form: False for word in _FALSE for form in (word, word.capitalize(), word.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = (16, 2, 8, 10)
_LONGEST_NUMBER = 400
_TAG = "tag:yaml.org,2002:"


def resolve_word(text: str) -> str | int | float | bool | None:
    """Return the meaning of an unquoted word in Go's yaml.v2; an infinite or not-a-number float is returned as such.

    Source: go-yaml v2 ``resolve.go`` (its table of words, ``strconv.ParseInt`` with base 0, YAML 1.1 floats).
    """
    if text in _WORDS:
        return _WORDS[text]
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    if not text.isascii() or not (text[0].isdigit() or text[0] in "+-.") or len(text) > _LONGEST_NUMBER:
        return text
    return _number(text if text[0] == "." else text.replace("_", ""), text)


def _number(plain: str, text: str) -> str | int | float:
    if match := _INTEGER.fullmatch(plain):
        digits = next((found, base) for found, base in zip(match.groups()[1:], _BASES, strict=True) if found)
        value = int(digits[0], digits[1]) * (-1 if match[1] == "-" else 1)
        if -(2**63) <= value < 2**64:
            return value
    if _FLOAT.fullmatch(plain) and math.isfinite(number := float(plain)):
        return number
    return text


def read_manifests(data: bytes, file: str, problems: Problems) -> list[Node]:
    """Return the trees of a file's documents that hold anything; take `nodes.plain` for their data.

    Problems are collected; documents before a syntax error, and those with a refused key, are among the trees.
    """
    documents: list[Node] = []
    try:
        text = text_of_file(data, file, MAX_BYTES)
        _Reader(_as_yaml(text), file, problems).read(documents)
    except RefusedError as refusal:
        problems.error(refusal.position, refusal.code, refusal.message)
    return documents


def _as_yaml(text: str) -> str:
    """Return JSON as YAML: JSON may be indented with tabs, each of which is white space, so columns stay right."""
    if text.lstrip()[:1] in ("{", "[") and "\t" in text:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text.replace("\t", " ")
    return text


class _Reader(TreeBuilder):
    """Builds the trees of one text as Go's yaml.v2 reads it."""

    max_depth = MAX_DEPTH
    max_nodes = MAX_NODES

    def read(self, documents: list[Node]) -> None:
        self._next()  # start of the stream
        while isinstance(self._next(), yaml.DocumentStartEvent):
            self._anchors.clear()
            node = self._node(self._next(), 0)
            self._next()  # end of the document
            if not (isinstance(node, ScalarNode) and node.value is None):
                documents.append(node)

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        text = self._text(event)
        tag = (event.tag or "").removeprefix(_TAG)
        value: str | int | float | bool | None = text
        if tag in ("int", "float", "bool", "null"):
            value = resolve_word(text)
            if isinstance(value, str):
                self._refuse(event, Code.UNSUPPORTED_YAML, f"{quote(text)} is not {tag}, as its tag says")
        elif tag == "binary":
            self._refuse(event, Code.UNSUPPORTED_YAML, "the tag !!binary is not supported; write the text itself")
        elif not tag and not event.style:
            value = resolve_word(text)
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(event, Code.BAD_VALUE, f"{text} would become a number that JSON does not have; quote it")
        return ScalarNode(self._position(event), value, text)

    def _map(self, event: yaml.Event, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        while not isinstance(inner := self._next(), yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            value = self._node(self._next(), depth + 1)
            unquoted = isinstance(inner, yaml.ScalarEvent) and not inner.style
            if unquoted and isinstance(key, ScalarNode) and key.text == "<<":
                for source in self._merged(value):
                    for entry in source.entries:
                        self._add(entries, Entry(entry.key, key.position, entry.value))
            else:
                self._add(entries, Entry(self._key(inner, key), self._position(inner), value))
        taken = tuple(entries.values())
        return MapNode(self._position(event), taken, 1 + sum(1 + entry.value.size for entry in taken))

    def _add(self, entries: dict[str, Entry], entry: Entry) -> None:
        if entry.key in entries:
            message = f"the key {quote(entry.key)} is duplicated; it is already at {entries[entry.key].key_position}"
            self._problems.error(entry.key_position, Code.DUPLICATE_KEY, message)
        else:
            entries[entry.key] = entry

    def _key(self, event: yaml.Event, key: Node) -> str:
        """Return the key as text, as sigs.k8s.io/yaml does when it converts to JSON."""
        if not isinstance(key, ScalarNode) or key.value is None:
            self._refuse(event, Code.BAD_KEY, "a key must be a word, not a list, a map or null")
        if isinstance(key.value, bool):
            return "true" if key.value else "false"
        return str(key.value)
