"""Reads YAML (and so JSON) into nodes that know their file, line and column. The only importer of yaml.

Never constructs Python objects from tags, never raises for what a file holds, and never follows a file that is not
a regular one. Everything is bounded: bytes, depth, and nodes with every alias counted as often as it is used.
Kubernetes manifests are another matter: `kubernetes_yaml`.

Thread: whichever loads a configuration; no state is kept.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from bridge.configfile.nodes import Entry, ListNode, MapNode, Node, ScalarNode, quote
from bridge.configfile.problems import Code, Position, Problem, Problems
from bridge.configfile.scalars import resolve

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 64
MAX_NODES: Final = 200_000

_STRING_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_NOT_YAML = yaml.reader.Reader.NON_PRINTABLE
_SURROGATE = re.compile("[\ud800-\udfff]")
_MERGE_KEY = "<<"
_UNFINISHED: Final = ScalarNode(Position(""), None, "")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that was read: where it is, and its tree."""

    path: Path
    root: Node


def read_file(path: Path, problems: Problems) -> Node | None:
    """Read one file.

    Args:
        path: A regular file (or a link to one) of at most `MAX_BYTES`.
        problems: Takes what is wrong; positions name the file as `shown_path` does.

    Returns:
        The tree, or None where the file cannot be used at all (then a problem says why).
    """
    data = read_regular_file(path)
    if isinstance(data, Problem):
        problems.found.append(data)
        return None
    return read_bytes(data, shown_path(path), problems)


def read_regular_file(path: Path, limit_bytes: int = MAX_BYTES) -> bytes | Problem:
    """The content of a regular file, or of a link to one, or why it cannot be had.

    At most one byte more than `limit_bytes` is read, so that who gets it can tell that there is more.
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
    if len(data) > MAX_BYTES:
        problems.error(Position(file), Code.TOO_LARGE, f"the file is larger than {MAX_BYTES >> 20} MiB")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        where = _position_after(before, file)
        problems.error(where, Code.NOT_UTF8, f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8")
        return None
    bad = _NOT_YAML.search(text)
    if bad is not None:
        where = _position_after(text[: bad.start()], file)
        problems.error(where, Code.BAD_CHARACTER, f"character U+{ord(bad[0]):04X} may not stand in YAML; remove it")
        return None
    try:
        return _Builder(text, file, problems).document()
    except _RefusedError as refusal:
        problems.error(refusal.position, refusal.code, refusal.message)
        return None


def shown_path(path: Path) -> str:
    """The path as people should read it: relative to the working directory where it lies below it."""
    try:
        shown = str(path.absolute().relative_to(Path.cwd()))
    except (OSError, ValueError):
        shown = str(path)
    return shown.encode("utf-8", "backslashreplace").decode()  # names of files need not be UTF-8; what we print must


def _reason(error: Exception) -> str:
    """What the operating system says, without its number and path."""
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


def _position_after(text: str, file: str) -> Position:
    line_start = text.rfind("\n") + 1
    return Position(file, text.count("\n") + 1, len(text) - line_start + 1)


class _RefusedError(Exception):
    """Ends the reading of one file."""

    def __init__(self, position: Position, code: Code, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.code = code
        self.message = message


@dataclass(slots=True)
class _OpenMap:
    """A map while its entries come."""

    entries: dict[str, Entry] = field(default_factory=dict)
    merged: list[MapNode] = field(default_factory=list)


class _Builder:
    """Builds the tree of one text from PyYAML's parse events.

    PyYAML's own composer is not used: it recurses without bound, keeps the last of two equal keys and resolves
    words by YAML 1.1.
    """

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._loader: Any = yaml.SafeLoader(text)  # its stubs leave the parser untyped
        self._lines = text.splitlines()
        self._file = file
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self) -> Node:
        self._next()  # start of the stream
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            return ScalarNode(Position(self._file, 1, 1), None, "")
        root = self._node(self._next(), depth=0)
        self._next()  # end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, Code.UNSUPPORTED_YAML, "a second document begins here; use one file for each")
        return root

    def _next(self) -> yaml.Event:
        try:
            event: yaml.Event = self._loader.get_event()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or self._loader.get_mark()
            where = Position(self._file, mark.line + 1, mark.column + 1)
            raise _RefusedError(where, Code.YAML_SYNTAX, _syntax_message(error, self._line(mark.line))) from error
        except (yaml.YAMLError, ValueError, OverflowError, IndexError) as error:
            # PyYAML lets Python's own errors through for escapes beyond Unicode and the like.
            mark = self._loader.get_mark()
            where = Position(self._file, mark.line + 1, mark.column + 1)
            raise _RefusedError(where, Code.YAML_SYNTAX, "this is not YAML") from error
        return event

    def _line(self, index: int) -> str:
        return self._lines[index] if index < len(self._lines) else ""

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self._refuse(event, Code.TOO_DEEP, f"more than {MAX_DEPTH} levels of nesting")
        if isinstance(event, yaml.AliasEvent):
            node = self._aliased(event)
            self._grow(event, node.size)
            return node
        self._grow(event, 1)
        anchor: str | None = event.anchor  # type: ignore[attr-defined]  # every event that begins a node has one
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

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            self._refuse(event, Code.YAML_SYNTAX, f"no anchor &{event.anchor} stands before this alias")
        if node is _UNFINISHED:
            self._refuse(event, Code.UNSUPPORTED_YAML, f"the alias *{event.anchor} stands within its own anchor")
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        text: str = event.value
        where = self._position(event)
        if event.tag not in _STRING_TAGS:
            self._refuse_tag(event, event.tag)
        if _SURROGATE.search(text):
            # JSON writes a character beyond U+FFFF as two escapes, which PyYAML leaves apart.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if _SURROGATE.search(text):
            self._refuse(event, Code.BAD_CHARACTER, "half of a surrogate pair is not a character; remove the escape")
        quoted = event.style is not None or event.tag is not None
        return ScalarNode(where, text if quoted else resolve(text), text)

    def _list(self, event: yaml.SequenceStartEvent, depth: int) -> ListNode:
        self._refuse_tag(event, event.tag)
        items = []
        while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(inner, depth + 1))
        return ListNode(self._position(event), tuple(items), 1 + sum(item.size for item in items))

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
            self._refuse(event, Code.BAD_KEY, "a key is a single word, not a list or a map")
        value = self._node(self._next(), depth + 1)
        key = key_node.text
        plain_key = isinstance(event, yaml.ScalarEvent) and event.style is None
        if key == _MERGE_KEY and plain_key:
            taken.merged.extend(self._merged(value))
        elif not key:
            self._problems.error(where, Code.BAD_KEY, "an empty key")
        elif key in taken.entries:
            first = taken.entries[key].key_position
            text = f"the key {quote(key)} stands here again; it is already at {first}"
            self._problems.error(where, Code.DUPLICATE_KEY, text)
        else:
            taken.entries[key] = Entry(key, where, value)

    def _merged(self, value: Node) -> list[MapNode]:
        sources = list(value.items) if isinstance(value, ListNode) else [value]
        maps = [source for source in sources if isinstance(source, MapNode)]
        if len(maps) != len(sources):
            text = "<< takes a map, or a list of maps, mostly as an alias: <<: *name"
            self._problems.error(value.position, Code.UNSUPPORTED_YAML, text)
        return maps

    def _grow(self, event: yaml.Event, nodes: int) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            self._refuse(event, Code.TOO_LARGE, f"more than {MAX_NODES} values, each alias counted where it is used")

    def _position(self, event: yaml.Event) -> Position:
        mark: Any = event.start_mark  # the parser always sets it
        return Position(self._file, mark.line + 1, mark.column + 1)

    def _refuse_tag(self, event: yaml.Event, tag: str | None) -> None:
        if tag is not None:
            self._refuse(event, Code.UNSUPPORTED_YAML, f"the tag {quote(tag)} has no meaning here; remove it")

    def _refuse(self, event: yaml.Event, code: Code, message: str) -> NoReturn:
        raise _RefusedError(self._position(event), code, message)


def _syntax_message(error: yaml.MarkedYAMLError, line: str) -> str:
    problem = str(error.problem or "this is not YAML")
    if r"'\t'" in problem:
        return "a tab cannot indent YAML or begin a value; use spaces"
    if problem == "mapping values are not allowed here":
        return "a colon and space cannot stand here; check the indentation, or put the text in quotes"
    if error.context and error.context_mark is not None:
        problem = f"{problem} {error.context} (begun at line {error.context_mark.line + 1})"
    # A topic such as {site}/boiler is the commonest value that YAML takes for a map.
    return f'{problem}; a text that begins with "{{" needs quotes' if re.search(r"(: |- )\{", line) else problem
