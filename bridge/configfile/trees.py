"""Builds trees of nodes from PyYAML's parse events: the part shared by all readers of YAML files.

PyYAML's own composer is not used: it recurses without limit, keeps the last of two equal keys and resolves words as
YAML 1.1. Never constructs objects from tags. The reader of each kind of file decides what words, tags and keys mean.

Thread: whichever reads a file; no state is kept.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, NoReturn

import yaml

from bridge.configfile.nodes import ListNode, MapNode, Node, ScalarNode
from bridge.configfile.problems import Code, Position, Problems

_NOT_YAML = yaml.reader.Reader.NON_PRINTABLE
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNFINISHED: Final = ScalarNode(Position(""), None, "")


class RefusedError(Exception):
    """Ends the reading of one file."""

    def __init__(self, position: Position, code: Code, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.code = code
        self.message = message


def text_of_file(data: bytes, file: str, max_bytes: int) -> str:
    """Return the text of a file named `file`.

    Raises:
        RefusedError: too large, not UTF-8, or with a character that YAML does not allow.
    """
    if len(data) > max_bytes:
        raise RefusedError(Position(file), Code.TOO_LARGE, f"the file is larger than {max_bytes >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _position_after(data[: error.start].decode("utf-8-sig", errors="replace"), file)
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise RefusedError(where, Code.NOT_UTF8, message) from error
    bad = _NOT_YAML.search(text)
    if bad is not None:
        where = _position_after(text[: bad.start()], file)
        raise RefusedError(
            where, Code.BAD_CHARACTER, f"character U+{ord(bad[0]):04X} is not allowed in YAML; remove it"
        )
    return text


def _position_after(text: str, file: str) -> Position:
    line_start = text.rfind("\n") + 1
    return Position(file, text.count("\n") + 1, len(text) - line_start + 1)


def _parser_of(text: str) -> Any:  # the stubs leave both parsers untyped
    """Return the parser in C, which is ten times as fast, or the one in Python, which says better what is wrong."""
    if not yaml.__with_libyaml__:
        return yaml.SafeLoader(text)
    events = yaml.CSafeLoader(text)
    try:
        while events.get_event() is not None:
            pass
    except (yaml.YAMLError, ValueError):
        return yaml.SafeLoader(text)
    return yaml.CSafeLoader(text)


class TreeBuilder(ABC):
    """Builds the trees of one text; everything is limited, with every alias counted each time it is used.

    The text has no characters that YAML does not allow. `problems` collects those that do not end the reading.
    """

    max_depth: ClassVar[int]
    max_nodes: ClassVar[int]

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._loader = _parser_of(text)
        self._lines = text.splitlines()
        self._file = file
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def _next(self) -> yaml.Event:
        try:
            event: yaml.Event = self._loader.get_event()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or self._loader.get_mark()
            line = self._lines[mark.line] if mark.line < len(self._lines) else ""
            raise RefusedError(self._at(mark), Code.YAML_SYNTAX, _syntax_message(error, line)) from error
        except (yaml.YAMLError, ValueError, OverflowError, IndexError) as error:
            # PyYAML does not catch Python's own errors for escapes beyond Unicode.
            raise RefusedError(self._at(self._loader.get_mark()), Code.YAML_SYNTAX, "this is not YAML") from error
        return event

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > self.max_depth:
            self._refuse(event, Code.TOO_DEEP, f"more than {self.max_depth} levels of nesting")
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
            self._refuse(event, Code.YAML_SYNTAX, f"no anchor &{event.anchor} before this alias")
        if node is _UNFINISHED:
            self._refuse(event, Code.UNSUPPORTED_YAML, f"the alias *{event.anchor} is inside its own anchor")
        return node

    @abstractmethod
    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        """Return what a word or text is."""

    def _list(self, event: yaml.SequenceStartEvent, depth: int) -> ListNode:
        items = []
        while not isinstance(inner := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(inner, depth + 1))
        return ListNode(self._position(event), tuple(items), 1 + sum(item.size for item in items))

    @abstractmethod
    def _map(self, event: yaml.Event, depth: int) -> MapNode:
        """Read to the end of the map, and return it."""

    def _text(self, event: yaml.ScalarEvent) -> str:
        text: str = event.value
        if _SURROGATE.search(text):
            # JSON writes a character beyond U+FFFF as two escapes, which PyYAML does not join.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if _SURROGATE.search(text):
            self._refuse(event, Code.BAD_CHARACTER, "half of a surrogate pair is not a character; remove the escape")
        return text

    def _merged(self, value: Node) -> list[MapNode]:
        """Return the maps that `value` adds to another map through ``<<``."""
        sources = list(value.items) if isinstance(value, ListNode) else [value]
        maps = [source for source in sources if isinstance(source, MapNode)]
        if len(maps) != len(sources):
            text = "<< needs a map, or a list of maps, usually as an alias: <<: *name"
            self._problems.error(value.position, Code.UNSUPPORTED_YAML, text)
        return maps

    def _grow(self, event: yaml.Event, nodes: int) -> None:
        self._count += nodes
        if self._count > self.max_nodes:
            message = f"more than {self.max_nodes} values, each alias counted where it is used"
            self._refuse(event, Code.TOO_LARGE, message)

    def _at(self, mark: Any) -> Position:
        return Position(self._file, mark.line + 1, mark.column + 1)

    def _position(self, event: yaml.Event) -> Position:
        return self._at(event.start_mark)

    def _refuse(self, event: yaml.Event, code: Code, message: str) -> NoReturn:
        raise RefusedError(self._position(event), code, message)


def _syntax_message(error: yaml.MarkedYAMLError, line: str) -> str:
    problem = str(error.problem or "this is not YAML")
    if r"'\t'" in problem:
        return "a tab cannot indent YAML or begin a value; use spaces"
    if problem == "mapping values are not allowed here":
        return "a colon and space are not allowed here; check the indentation, or quote the text"
    if error.context and error.context_mark is not None:
        problem = f"{problem} {error.context} (begun at line {error.context_mark.line + 1})"
    if re.search(r"\[[^\"']*\{", line):
        return f'{problem}; in a list with [ ], a text that contains "{{" needs quotes'
    # A topic such as {site}/boiler is the most common value that YAML mistakes for a map.
    return f'{problem}; a text that begins with "{{" needs quotes' if re.search(r"(: |- )\{", line) else problem
