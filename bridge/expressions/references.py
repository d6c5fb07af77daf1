"""Finds what an expression reads: the paths from the root variables that it names.

The paths have two uses: a misspelt capture is found when the file is loaded, and CEL gets only those parts of a payload
that the expression names (converting a payload of 300 values costs more than everything else). Thread: any; everything
here is pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.expressions.cel import to_cel
from bridge.expressions.paths import ROOTS
from bridge.expressions.tokens import PLAIN_STRING, Token, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Reference:
    """A place where an expression reads a root variable.

    Attributes:
        root: one of `paths.ROOTS`.
        steps: the following keys, as far as they are plain text; () = the whole value.
        offset: of the root's name, from 0.
        step_offset: of the first step, or of the root's name if there is none.
        may_be_bound: whether a macro of the expression has a variable of that name.
    """

    root: str
    steps: tuple[str, ...]
    offset: int
    step_offset: int
    may_be_bound: bool = False


def references_of(source: str) -> list[Reference]:
    """Return every place where a root variable is read."""
    tokens = tokens_of(source)
    bound = {
        variable.text
        for opening, variable, comma in zip(tokens, tokens[1:], tokens[2:], strict=False)
        if _binds(opening, comma)
    }
    found: list[Reference] = []
    for position, token in enumerate(tokens):
        if token.kind != "name" or token.text not in ROOTS:
            continue
        if position and tokens[position - 1].text == ".":
            continue  # a field that happens to have the name of a variable
        steps, step_offset = _steps(tokens, position + 1)
        where = step_offset if steps else token.offset
        found.append(Reference(token.text, steps, token.offset, where, token.text in bound))
    return found


def _binds(opening: Token, comma: Token) -> bool:
    """Whether the name between two tokens may be a variable of a macro: ``list.map(x, ...)``, ``cel.bind(x, ...)``."""
    return opening.text == "(" and comma.text == ","


def _steps(tokens: list[Token], start: int) -> tuple[tuple[str, ...], int]:
    steps: list[str] = []
    offset = 0
    position = start
    while step := _step(tokens[position : position + 3]):
        name, width, where = step
        steps.append(name)
        offset = offset if len(steps) > 1 else where
        position += width
    return tuple(steps), offset


def _step(ahead: list[Token]) -> tuple[str, int, int] | None:
    """Return the next key of a chain, the number of its tokens and its position; None if the chain ends."""
    if len(ahead) < 2:
        return None
    opening, key = ahead[0].text, ahead[1]
    after = ahead[2].text if len(ahead) > 2 else ""
    if opening == "." and key.kind == "name" and after != "(":  # with "(" it is a method
        return key.text, 2, key.offset
    if opening == "." and key.kind == "quoted":
        return key.text[1:-1], 2, key.offset
    if opening == "[" and after == "]" and (plain := PLAIN_STRING.fullmatch(key.text)):
        return plain[1] if plain[1] is not None else plain[2], 3, key.offset
    return None


PickTree = dict[str, "PickTree | None"]


def pick_tree(paths: Iterable[tuple[str, ...]]) -> PickTree | None:
    """Return the input of `pick` to extract `paths`; None = the whole value."""
    tree: PickTree = {}
    for path in sorted(set(paths)):  # a path sorts before longer paths that begin with it
        if not path:
            return None
        branch: PickTree | None = tree
        for step in path[:-1]:
            if branch is not None:
                branch = branch.setdefault(step, {})
        if branch is not None:
            branch.setdefault(path[-1], None)
    return tree


def pick(value: Any, tree: PickTree | None) -> Any:
    """Return the parts of a decoded value that `tree` names, in CEL's form; missing values stay missing.

    Raises:
        EvaluationError: see `to_cel`.
    """
    if tree is None:
        return to_cel(value)
    if isinstance(value, dict):
        return {key: pick(value[key], inner) for key, inner in tree.items() if key in value}
    # A key of a list is an error, whatever the list contains.
    return [] if isinstance(value, list) else to_cel(value)
