"""Reads YAML, and therefore JSON, into nodes that know their file, line and column.

Never constructs Python objects from tags, never raises because of a file's content, and reads only regular files.
Everything is limited: bytes, depth, and nodes, with every alias counted each time it is used. Kubernetes manifests are
read by `kubernetes_yaml`.

Thread: whichever loads a configuration; no state is kept.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import yaml

from bridge.configfile.nodes import Entry, ListNode, MapNode, Node, ScalarNode, quote
from bridge.configfile.problems import Code, Position, Problem, Problems
from bridge.configfile.scalars import resolve
from bridge.configfile.trees import RefusedError, TreeBuilder, text_of_file

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_NODES: Final = 200_000

_STRING_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_MERGE_KEY = "<<"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: its path and its tree."""

    path: Path
    root: Node


def read_file(path: Path, problems: Problems) -> Node | None:
    """Return the tree of a regular file of at most `MAX_BYTES`; None, with a problem, where it cannot be used."""
    data = read_regular_file(path)
    if isinstance(data, Problem):
        problems.found.append(data)
        return None
    return read_bytes(data, shown_path(path), problems)


def read_regular_file(path: Path, limit_bytes: int = MAX_BYTES) -> bytes | Problem:
    """Return the content of a regular file, or of a link to one, or why it cannot be read.

    At most `limit_bytes` and one byte more are read, so that the caller can see that there is more.
    """
    where = Position(shown_path(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return Problem(where, Code.UNREADABLE_FILE, "cannot read the file: it is not a regular file")
        with path.open("rb") as file:
            return file.read(limit_bytes + 1)
    except (OSError, ValueError) as error:
        return Problem(where, Code.UNREADABLE_FILE, f"cannot read the file: {_reason(error)}")


def read_bytes(data: bytes, file: str, problems: Problems) -> Node | None:
    """Read the content of a file named `file`; see `read_file`."""
    try:
        return _TreeBuilder(text_of_file(data, file, MAX_BYTES), file, problems).document()
    except RefusedError as refusal:
        problems.error(refusal.position, refusal.code, refusal.message)
        return None


def shown_path(path: Path) -> str:
    """Return the path as shown to people: relative to the working directory if it is below it."""
    try:
        shown = str(path.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):
        shown = str(path)
    return shown.encode("utf-8", "backslashreplace").decode()  # file names need not be UTF-8, but output must be


def _reason(error: Exception) -> str:
    """Return the operating system's message, without number and path."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


@dataclass(slots=True)
class _OpenMap:
    """A map while its entries are read."""

    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[MapNode] = field(default_factory=list)


class _TreeBuilder(TreeBuilder):
    """Builds the tree of one text according to the rules for the bridge's own files."""

    max_depth = MAX_DEPTH
    max_nodes = MAX_NODES

    def document(self) -> Node:
        self._next()  # start of the stream
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return ScalarNode(Position(self._file, 1, 1), None, "")
        root = self._node(self._next(), depth=0)
        self._next()  # end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, Code.UNSUPPORTED_YAML, "a second document begins here; use one file per document")
        return root

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        if event.tag not in _STRING_TAGS:
            self._refuse_tag(event, event.tag)
        text = self._text(event)
        quoted = bool(event.style) or event.tag is not None
        return ScalarNode(self._position(event), text if quoted else resolve(text), text)

    def _list(self, event: yaml.SequenceStartEvent, depth: int) -> ListNode:
        self._refuse_tag(event, event.tag)
        return super()._list(event, depth)

    def _map(self, event: yaml.Event, depth: int) -> MapNode:
        self._refuse_tag(event, event.tag)  # type: ignore[attr-defined]  # only a mapping's start comes here
        taken = _OpenMap()
        while not isinstance(inner := self._next(), yaml.MappingEndEvent):
            self._entry(inner, taken, depth)
        for source in taken.merged:
            for entry in source.entries:
                taken.entries.setdefault(entry.key, entry)
        entries = tuple(taken.entries.values())
        return MapNode(self._position(event), entries, 1 + sum(1 + entry.value.size for entry in entries))

    def _entry(self, event: yaml.Event, taken: _OpenMap, depth: int) -> None:
        where = self._position(event)
        key_node = self._node(event, depth + 1)
        if not isinstance(key_node, ScalarNode):
            self._refuse(event, Code.BAD_KEY, "a key must be a single word, not a list or a map")
        value = self._node(self._next(), depth + 1)
        if isinstance(value, ScalarNode) and value.value is None and not value.text:
            value = replace(value, position=where)  # what is not there is missed where its key is
        key = key_node.text
        plain_key = isinstance(event, yaml.ScalarEvent) and not event.style
        if key == _MERGE_KEY and plain_key:
            taken.merged.extend(self._merged(value))
        elif not key:
            self._problems.error(where, Code.BAD_KEY, "an empty key")
        elif key in taken.entries:
            first = taken.entries[key].key_position
            text = f"the key {quote(key)} is duplicated; it is already at {first}"
            self._problems.error(where, Code.DUPLICATE_KEY, text)
        else:
            taken.entries[key] = Entry(key, where, value)

    def _refuse_tag(self, event: yaml.Event, tag: str | None) -> None:
        if tag is not None:
            self._refuse(event, Code.UNSUPPORTED_YAML, f"the tag {quote(tag)} is not supported here; remove it")
