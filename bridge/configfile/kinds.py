"""The kinds of value of a key: each reads a node and describes what it accepts, in words and as JSON Schema.

Reading never raises: problems go to the place's list, and the result is `INVALID`. Pure; any thread.
"""

from __future__ import annotations

import abc
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, urlsplit

from bridge.configfile.nodes import ListNode, MapNode, Node, ScalarNode, describe, is_null, plain, quote
from bridge.configfile.problems import Code, Position, Problems
from bridge.configfile.quantities import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from bridge.core.nearest import did_you_mean

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable


class _Invalid:
    """Stands for a value that could not be read."""

    def __repr__(self) -> str:
        return "INVALID"


INVALID: Final[Any] = _Invalid()

# Source: Kubernetes, "Object Names and IDs": RFC 1123 label names.
DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Place:
    """The place in the configuration where a value is read, for messages that name the item.

    Attributes:
        item: `mapping "press-alarm"`, `argo.tls`, or "" at the top.
        key: The key whose value is read, or "".
        named: The item has its own name; sections inside it do not lengthen `item`.
        folder: What relative paths are relative to.
    """

    problems: Problems
    item: str = ""
    key: str = ""
    named: bool = False
    folder: Path = Path()

    def at(self, key: str) -> Place:
        """Return the place of the value of `key`."""
        return replace(self, key=key)

    def inside(self) -> Place:
        """Return the place of the keys inside the section that is this place's value."""
        if self.named or not self.key:
            return replace(self, key="")
        return replace(self, item=f"{self.item}.{self.key}" if self.item else self.key, key="")

    def item_named(self, noun: str, name: str) -> Place:
        """Return the place inside an item that has its own name, or should have one (`name` is "")."""
        item = f"{noun} {quote(name)}" if name else f"a {noun} without a name"
        return replace(self, item=item, key="", named=True)

    def refuse(self, position: Position, code: Code, text: str) -> Any:
        """Record an error about the item; returns `INVALID`."""
        self.problems.error(position, code, f"{self.item}: {text}" if self.item else text)
        return INVALID

    def must_be(self, node: Node, what: str, shown: str = "") -> Any:
        """Record that the key's value is not `what`; returns `INVALID`."""
        subject = f'"{self.key}"' if self.key else "this"
        if is_null(node):
            return self.refuse(node.position, Code.WRONG_TYPE, f"{subject} has no value; it must be {what}")
        structured = isinstance(node, ListNode | MapNode)
        code = Code.WRONG_TYPE if structured else Code.BAD_VALUE
        return self.refuse(node.position, code, f"{subject} must be {what}, not {shown or describe(node)}")


class Kind(abc.ABC):
    """A kind of value."""

    @abc.abstractmethod
    def read(self, node: Node, place: Place) -> Any:
        """The value, or `INVALID` with at least one problem recorded."""

    @abc.abstractmethod
    def schema(self) -> dict[str, Any]:
        """The JSON Schema (draft 2020-12) of accepted values, without description and default."""

    @property
    @abc.abstractmethod
    def words(self) -> str:
        """The accepted values, in words that follow "must be"."""


@dataclass(frozen=True)
class Text(Kind):
    """One line or more of text.

    Attributes:
        pattern: A regular expression that the whole text matches, or "".
        words: The kind in words; required with a pattern or a check.
        check: Returns why a text is refused, or "".
        hint: Appended to the message of a refusal.
    """

    pattern: str = ""
    words: str = "text"
    check: Callable[[str], str] | None = None
    hint: str = ""
    may_be_empty: bool = False

    def read(self, node: Node, place: Place) -> Any:
        """The text as written; numbers and booleans are text too."""
        if not isinstance(node, ScalarNode) or node.value is None or not (node.text or self.may_be_empty):
            return place.must_be(node, self.words + self._hint())
        if self.pattern and not re.fullmatch(self.pattern, node.text):
            return place.must_be(node, self.words, quote(node.text) + self._hint())
        why = self.check(node.text) if self.check else ""
        if why:
            subject = f'"{place.key}"' if place.key else "this"
            return place.refuse(node.position, Code.BAD_VALUE, f"{subject} is not {self.words}: {why}{self._hint()}")
        return node.text

    def _hint(self) -> str:
        return f"; {self.hint}" if self.hint else ""

    def schema(self) -> dict[str, Any]:
        """Text; what only `check` knows is not in the schema."""
        schema: dict[str, Any] = {"type": ["string", "number", "boolean"]}
        if self.pattern:
            return schema | {"pattern": f"^(?:{self.pattern})$"}
        return schema if self.may_be_empty else schema | {"minLength": 1}


@dataclass(frozen=True)
class Boolean(Kind):
    """`true` or `false`, in lower case."""

    words = "true or false"

    def read(self, node: Node, place: Place) -> Any:
        """A bool; the other words of YAML 1.1 are not accepted."""
        if isinstance(node, ScalarNode) and isinstance(node.value, bool):
            return node.value
        return place.must_be(node, self.words)

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number from `least` to `most`, both included."""

    least: int = 0
    most: int = 2**63 - 1

    def read(self, node: Node, place: Place) -> Any:
        """An int."""
        value = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most:
            return value
        return place.must_be(node, self.words)

    def schema(self) -> dict[str, Any]:
        """An integer with its bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    @property
    def words(self) -> str:
        """With its bounds, the upper one if there is one."""
        upper = f"from {self.least} to {self.most}" if self.most < 2**63 - 1 else f"of at least {self.least}"
        return f"a whole number {upper}"


@dataclass(frozen=True)
class Number(Kind):
    """A finite number above 0, whole or not, read as a float."""

    words = "a number above 0"

    def read(self, node: Node, place: Place) -> Any:
        """A float."""
        value = node.value if isinstance(node, ScalarNode) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        return place.must_be(node, self.words)

    def schema(self) -> dict[str, Any]:
        """A number."""
        return {"type": "number", "exclusiveMinimum": 0}


@dataclass(frozen=True)
class Duration(Kind):
    """A duration with its unit, read as seconds; `least` and `most` are texts of the same form."""

    words = "a duration"

    least: str = "0s"
    most: str = "36500d"

    def read(self, node: Node, place: Place) -> Any:
        """Seconds as a float."""
        seconds = parse_duration(node.text) if isinstance(node, ScalarNode) else None
        if seconds is None:
            return place.must_be(node, "a duration such as 500ms, 10s, 5m, 24h or 7d")
        lowest, highest = parse_duration(self.least) or 0.0, parse_duration(self.most) or 0.0
        if not lowest <= seconds <= highest:
            return place.must_be(node, f"from {format_duration(lowest)} to {format_duration(highest)}")
        return seconds

    def schema(self) -> dict[str, Any]:
        """Text; bounds are checked when reading."""
        return {"type": "string", "pattern": DURATION_PATTERN}


@dataclass(frozen=True)
class Size(Kind):
    """A size with its unit, read as bytes; `least` and `most` are texts of the same form."""

    words = "a size"

    least: str = "0B"
    most: str = "8388607TiB"

    def read(self, node: Node, place: Place) -> Any:
        """Bytes as an int."""
        size = parse_size(node.text) if isinstance(node, ScalarNode) else None
        if size is None:
            return place.must_be(node, "a size such as 512B, 256KiB, 64MiB or 4GiB")
        lowest, highest = parse_size(self.least) or 0, parse_size(self.most) or 0
        if not lowest <= size <= highest:
            return place.must_be(node, f"from {format_size(lowest)} to {format_size(highest)}")
        return size

    def schema(self) -> dict[str, Any]:
        """Text; bounds are checked when reading."""
        return {"type": "string", "pattern": SIZE_PATTERN}


@dataclass(frozen=True)
class Choice(Kind):
    """One member of an enumeration, by its value, which is text; those of `not_yet` are known but refused."""

    members: type[enum.Enum]
    not_yet: tuple[str, ...] = ()

    def read(self, node: Node, place: Place) -> Any:
        """The member."""
        if not isinstance(node, ScalarNode) or node.value is None:
            return place.must_be(node, self.words)
        if node.text in self.not_yet:
            return place.refuse(node.position, Code.NOT_YET, f'"{place.key}": {node.text} is not built yet')
        if node.text not in self._values():
            names = [*self._values(), *self.not_yet]
            proposal = did_you_mean(node.text, names) if len(node.text) > 2 else ""
            return place.must_be(node, self.words, quote(node.text) + proposal)
        return self.members(node.text)

    def _values(self) -> list[str]:
        return [str(member.value) for member in self.members]

    def schema(self) -> dict[str, Any]:
        """The values; a value that reads as a number is also accepted as a number."""
        numbers = [int(value) for value in self._values() if value.isdecimal()]
        return {"enum": [*self._values(), *numbers]}

    @property
    def words(self) -> str:
        """The values."""
        *most, last = self._values()
        return f"{', '.join(most)} or {last}" if most else last


@dataclass(frozen=True)
class Url(Kind):
    """A URL with host, with one of `schemes` and without credentials; read as text without a trailing slash."""

    schemes: tuple[str, ...]

    def read(self, node: Node, place: Place) -> Any:
        """The URL. A refused one is never quoted in the message, because it may contain a password."""
        if not isinstance(node, ScalarNode) or node.value is None:
            return place.must_be(node, self.words)
        try:
            parts = urlsplit(node.text)
            port = parts.port
        except ValueError:
            return place.must_be(node, self.words, "this")
        if parts.username is not None or parts.password is not None:
            text = f'"{place.key}" has credentials; put them into the keys and files for credentials'
            return place.refuse(node.position, Code.CREDENTIALS_IN_URL, text)
        why = self._refusal(node.text, parts, port)
        return place.must_be(node, self.words, why) if why else node.text.rstrip("/")

    def _refusal(self, text: str, parts: SplitResult, port: int | None) -> str:
        if not re.fullmatch(r"[\x21-\x7e]+", text):
            return "one with spaces or characters that are not allowed in a URL"
        if parts.scheme not in self.schemes:
            scheme = text.partition("://")[0]
            return f"one that begins with {quote(scheme, 24)}{did_you_mean(scheme, self.schemes)}"
        if not parts.hostname or port == 0:
            return "one without a host or with port 0"
        return "one with ? or #" if parts.query or parts.fragment else ""

    def schema(self) -> dict[str, Any]:
        """Text that begins with a scheme."""
        return {"type": "string", "pattern": f"^(?:{'|'.join(self.schemes)})://"}

    @property
    def words(self) -> str:
        """With its schemes."""
        return f"a URL ({', '.join(f'{scheme}://' for scheme in self.schemes)})"


@dataclass(frozen=True)
class FilePath(Kind):
    """A path; a relative one is relative to the folder of the place."""

    words: str = "the path of a file"

    def read(self, node: Node, place: Place) -> Any:
        """A `Path`."""
        if not isinstance(node, ScalarNode) or node.value is None or not node.text or "\0" in node.text:
            return place.must_be(node, self.words)
        return place.folder / node.text

    def schema(self) -> dict[str, Any]:
        """Text."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Structure(Kind):
    """A map whose content is not part of the configuration's own keys; read as plain data."""

    words: str = "a map"

    def read(self, node: Node, place: Place) -> Any:
        """A dict of plain values."""
        return plain(node) if isinstance(node, MapNode) else place.must_be(node, self.words)

    def schema(self) -> dict[str, Any]:
        """An object."""
        return {"type": "object"}
