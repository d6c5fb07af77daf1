"""Reads Kubernetes manifests as Argo reads them: YAML 1.1 as Go's ``sigs.k8s.io/yaml`` understands it, and JSON.

Differs from `source`, which reads the bridge's own files by YAML 1.2: here ``y`` is true, ``0o755``, ``0755`` and
``1e1`` are numbers, timestamps stay text, keys that are numbers or booleans become text, a file holds any number of
documents. A key that comes twice is refused, also by way of ``<<``. Never constructs objects from tags and never
raises for what a file holds.

Thread: the command's main thread; no state is kept.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

import yaml

from bridge.configfile.nodes import Entry, ListNode, MapNode, Node, ScalarNode, quote
from bridge.configfile.problems import Code, Position, Problems

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
_SURROGATE = re.compile("[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"
_UNFINISHED: Final = ScalarNode(Position(""), None, "")


def resolve_word(text: str) -> str | int | float | bool | None:
    """What an unquoted word means to Go's yaml.v2; an infinite or not-a-number float is returned as such.

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
    """Read every document of a file.

    Args:
        data: YAML or JSON, UTF-8, at most `MAX_BYTES`.
        file: its name in positions.
        problems: takes what is wrong; documents before a syntax error are returned all the same.

    Returns:
        The trees of the documents that hold anything; take `nodes.plain` for their data. A document with a
        refused key is among them.
    """
    if len(data) > MAX_BYTES:
        problems.error(Position(file), Code.TOO_LARGE, f"the file is larger than {MAX_BYTES >> 20} MiB")
        return []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.error(Position(file, line, 1), Code.NOT_UTF8, f"byte 0x{data[error.start]:02x} is not UTF-8")
        return []
    bad = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        message = f"character U+{ord(bad[0]):04X} may not stand in YAML; remove it"
        problems.error(Position(file, line, 1), Code.BAD_CHARACTER, message)
        return []
    documents: list[Node] = []
    try:
        _Reader(_as_yaml(text), file, problems).read(documents)
    except _RefusedError as refusal:
        problems.error(refusal.position, refusal.code, refusal.message)
    return documents


def _as_yaml(text: str) -> str:
    """JSON may be indented with tabs, YAML may not; in valid JSON every tab is white space, so columns stay right."""
    if text.lstrip()[:1] in ("{", "[") and "\t" in text:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return text
        return text.replace("\t", " ")
    return text


class _RefusedError(Exception):
    """Ends the reading of one file."""

    def __init__(self, position: Position, code: Code, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.code = code
        self.message = message


class _Reader:
    """Builds trees from PyYAML's parse events: its composer recurses without bound and keeps the last of two keys."""

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._loader: Any = yaml.SafeLoader(text)
        self._file = file
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def read(self, documents: list[Node]) -> None:
        self._next()  # start of the stream
        while isinstance(self._next(), yaml.DocumentStartEvent):
            self._anchors.clear()
            node = self._node(self._next(), 0)
            self._next()  # end of the document
            if not (isinstance(node, ScalarNode) and node.value is None):
                documents.append(node)

    def _next(self) -> yaml.Event:
        try:
            event: yaml.Event = self._loader.get_event()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or self._loader.get_mark()
            message = str(error.problem or "this is not YAML")
            if r"'\t'" in message:
                message = "a tab cannot indent YAML or begin a value; use spaces"
            raise _RefusedError(self._at(mark), Code.YAML_SYNTAX, message) from error
        except (yaml.YAMLError, ValueError, OverflowError, IndexError) as error:
            raise _RefusedError(self._at(self._loader.get_mark()), Code.YAML_SYNTAX, "this is not YAML") from error
        return event

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self._refuse(event, Code.TOO_DEEP, f"more than {MAX_DEPTH} levels of nesting")
        if isinstance(event, yaml.AliasEvent):
            node = self._anchors.get(str(event.anchor), _UNFINISHED)
            if node is _UNFINISHED:
                self._refuse(event, Code.YAML_SYNTAX, f"no anchor &{event.anchor} is complete before this alias")
            self._grow(event, node.size)
            return node
        self._grow(event, 1)
        anchor: str | None = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = _UNFINISHED
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(event, depth)
        else:
            node = self._map(event, depth)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        text = _joined_surrogates(event.value)
        if _SURROGATE.search(text):
            self._refuse(event, Code.BAD_CHARACTER, "half of a surrogate pair is not a character; remove the escape")
        tag = (event.tag or "").removeprefix(_TAG)
        value: str | int | float | bool | None = text
        if tag in ("int", "float", "bool", "null"):
            value = resolve_word(text)
            if isinstance(value, str):
                self._refuse(event, Code.UNSUPPORTED_YAML, f"{quote(text)} is no {tag}, as its tag says")
        elif tag == "binary":
            self._refuse(event, Code.UNSUPPORTED_YAML, "the tag !!binary is not supported; write the text itself")
        elif not tag and event.style is None:
            value = resolve_word(text)
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(event, Code.BAD_VALUE, f"{text} is no number of JSON, which Argo makes of this; quote it")
        return ScalarNode(self._at(event.start_mark), value, text)

    def _list(self, event: yaml.SequenceStartEvent, depth: int) -> ListNode:
        items = []
        while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(inner, depth + 1))
        return ListNode(self._at(event.start_mark), tuple(items), 1 + sum(item.size for item in items))

    def _map(self, event: yaml.Event, depth: int) -> MapNode:
        entries: dict[str, Entry] = {}
        while not isinstance(inner := self._next(), yaml.MappingEndEvent):
            key = self._node(inner, depth + 1)
            value = self._node(self._next(), depth + 1)
            unquoted = isinstance(inner, yaml.ScalarEvent) and inner.style is None
            if unquoted and isinstance(key, ScalarNode) and key.text == "<<":
                for entry in self._merged(value):
                    self._add(entries, Entry(entry.key, key.position, entry.value))
            else:
                self._add(entries, Entry(self._key(inner, key), self._at(inner.start_mark), value))
        taken = tuple(entries.values())
        return MapNode(self._at(event.start_mark), taken, 1 + sum(1 + entry.value.size for entry in taken))

    def _add(self, entries: dict[str, Entry], entry: Entry) -> None:
        if entry.key in entries:
            message = (
                f"the key {quote(entry.key)} stands here again; it is already at {entries[entry.key].key_position}"
            )
            self._problems.error(entry.key_position, Code.DUPLICATE_KEY, message)
        else:
            entries[entry.key] = entry

    def _key(self, event: yaml.Event, key: Node) -> str:
        """The key as text, as sigs.k8s.io/yaml makes it on the way to JSON."""
        if not isinstance(key, ScalarNode) or key.value is None:
            self._refuse(event, Code.BAD_KEY, "a key is a word, not a list, a map or null")
        if isinstance(key.value, bool):
            return "true" if key.value else "false"
        return str(key.value)

    def _merged(self, value: Node) -> list[Entry]:
        sources = list(value.items) if isinstance(value, ListNode) else [value]
        entries: list[Entry] = []
        for source in sources:
            if isinstance(source, MapNode):
                entries += source.entries
            else:
                message = "<< takes a map, or a list of maps, mostly as an alias: <<: *name"
                self._problems.error(value.position, Code.UNSUPPORTED_YAML, message)
        return entries

    def _grow(self, event: yaml.Event, nodes: int) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            self._refuse(event, Code.TOO_LARGE, f"more than {MAX_NODES} values, each alias counted where it is used")

    def _at(self, mark: Any) -> Position:
        return Position(self._file, mark.line + 1, mark.column + 1)

    def _refuse(self, event: yaml.Event, code: Code, message: str) -> NoReturn:
        raise _RefusedError(self._at(event.start_mark), code, message)


def _joined_surrogates(text: str) -> str:
    """JSON writes characters beyond U+FFFF as two escapes, which PyYAML leaves apart."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
