"""Problems of a configuration: one frozen record per problem, collected instead of raised.

Nothing here stops at the first problem and nothing prints; `Problem.render` gives the printed line. Runs on whichever
thread loads a configuration (the main thread, or the reloader's).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Severity(enum.StrEnum):
    """Whether a problem makes the configuration invalid (`ERROR`) or is only reported (`WARNING`)."""

    ERROR = "error"
    WARNING = "warning"


class Code(enum.StrEnum):
    """The codes of problems that configuration files and the environment can have."""

    BAD_CHARACTER = "bad-character"
    BAD_EXPRESSION = "bad-expression"
    BAD_KEY = "bad-key"
    BAD_MANIFEST = "bad-manifest"
    BAD_SCHEMA = "bad-schema"
    BAD_TOPIC = "bad-topic"
    BAD_VALUE = "bad-value"
    CONFLICTING_KEYS = "conflicting-keys"
    CREDENTIALS_IN_URL = "credentials-in-url"
    DUPLICATE_KEY = "duplicate-key"
    DUPLICATE_NAME = "duplicate-name"
    DUPLICATE_VALUE = "duplicate-value"
    EXPRESSION_IN_BRACES = "expression-in-braces"
    INSECURE = "insecure"
    INVALID_WORKFLOW = "invalid-workflow"
    MISSING_KEY = "missing-key"
    MISSING_LIBRARY = "missing-library"
    NAMESPACE_NOT_ALLOWED = "namespace-not-allowed"
    NO_FILES = "no-files"
    NOT_UTF8 = "not-utf8"
    NOT_YET = "not-yet"
    RESERVED_KEY = "reserved-key"
    RESERVED_TOPIC = "reserved-topic"
    STATUS_LOOP = "status-loop"
    TOO_DEEP = "too-deep"
    TOO_LARGE = "too-large"
    UNKNOWN_CAPTURE = "unknown-capture"
    UNKNOWN_CONNECTION = "unknown-connection"
    UNKNOWN_KEY = "unknown-key"
    UNKNOWN_VARIABLE = "unknown-variable"
    UNREADABLE_FILE = "unreadable-file"
    UNUSED_KEY = "unused-key"
    UNSUPPORTED_YAML = "unsupported-yaml"
    WEAKER_PROMISE = "weaker-promise"
    WRONG_TYPE = "wrong-type"
    YAML_SYNTAX = "yaml-syntax"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a source.

    Attributes:
        file: The path as shown to people, or `environment NAME` for a variable.
        line: From 1; 0 where the source has no lines (a variable, a file that cannot be read).
        column: In characters, from 1; 0 with `line` 0.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: position, code (kebab-case), and a sentence that ends with what to do if possible."""

    position: Position
    code: str
    message: str
    severity: Severity = Severity.ERROR

    def render(self) -> str:
        """Return the printed line: `FILE:LINE:COLUMN: CODE: MESSAGE`; a warning has `warning: ` before its code."""
        mark = "warning: " if self.severity is Severity.WARNING else ""
        return f"{self.position}: {mark}{self.code}: {self.message}"


@dataclass(slots=True)
class Problems:
    """Collects the problems of one load. Owner: the thread that loads."""

    found: list[Problem] = field(default_factory=list)

    def error(self, position: Position, code: str, message: str) -> None:
        """Record a problem that makes the configuration invalid."""
        self.found.append(Problem(position, str(code), message))

    def warning(self, position: Position, code: str, message: str) -> None:
        """Record a problem that does not make the configuration invalid."""
        self.found.append(Problem(position, str(code), message, Severity.WARNING))

    def in_order(self) -> list[Problem]:
        """Return all problems sorted by file, line, column, code; duplicates are removed."""
        return sorted(set(self.found), key=lambda one: (one.position, one.code, one.message, one.severity))

    @property
    def has_errors(self) -> bool:
        """Whether any problem makes the configuration invalid."""
        return any(one.severity is Severity.ERROR for one in self.found)
