"""The lines of the control channel: one JSON object per line, one response per question. Pure; any thread.

A question is ``{"version": 1, "do": VERB, ...}``. A response is ``{"result": {...}}`` or ``{"error": {"code",
"message", "hint"}}``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from bridge.core import strict_json
from bridge.core.errors import BridgeError, PermanentError

SOCKET_FILE = "control.sock"
VERSION = 1
MAX_QUESTION_BYTES = 65_536
MAX_ANSWER_BYTES = 16 * 2**20
MAX_SOCKET_PATH_BYTES = 107
"""Linux: ``sun_path`` has 108 bytes, one of them the NUL."""

Ask = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Takes a question without its version and returns the result; raises BridgeError."""


def question_line(question: Mapping[str, Any]) -> bytes:
    """Return a question as a line."""
    return orjson.dumps({"version": VERSION, **question}) + b"\n"


def read_question(line: bytes) -> dict[str, Any]:
    """Read a line from any sender.

    Raises:
        PermanentError: ``bad-question``: not JSON, not an object, or of another version.
    """
    try:
        question = strict_json.loads(line)
    except PermanentError as error:
        raise PermanentError(f"cannot read the question: {error.message}", code="bad-question") from error
    if not isinstance(question, dict) or question.pop("version", None) != VERSION:
        raise PermanentError(
            f"cannot read the question: it is not an object of version {VERSION}",
            code="bad-question",
            hint="use the command of the same release as the running bridge",
        )
    return question


def result_line(result: Mapping[str, Any]) -> bytes:
    """Return a result as a line."""
    return orjson.dumps({"result": result}) + b"\n"


def error_line(error: BridgeError) -> bytes:
    """Return an error as a line."""
    return orjson.dumps({"error": error_keys(error)}) + b"\n"


def error_keys(error: BridgeError) -> dict[str, str]:
    """Return the keys of an error in a response."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def read_answer(line: bytes) -> dict[str, Any]:
    """Return the result of a response.

    Raises:
        PermanentError: the error in the response, or ``bad-answer``.
    """
    try:
        answer = orjson.loads(line)
        if "error" in answer:
            error = answer["error"]
            raise PermanentError(error["message"], code=error["code"], hint=error["hint"])
        result: dict[str, Any] = answer["result"]
    except (ValueError, TypeError, LookupError) as error:
        text = "cannot read the response of the running bridge"
        raise PermanentError(
            text, code="bad-answer", hint="use the command of the same release as the running bridge"
        ) from error
    return result


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Yield an address with which the socket at `path` can be bound or reached, however long the path is."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
