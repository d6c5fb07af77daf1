"""The parser in C reads what the one in Python reads, at the same places; what it cannot read, the other explains."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bridge.configfile.nodes import Node
from bridge.configfile.problems import Problems
from bridge.configfile.source import read_bytes

WORDS = st.text("ab:#-{}[],&*!|>'\"%@` \n\t?é𝄞", max_size=12)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
WRITTEN = st.builds(
    lambda data, flow, style: yaml.safe_dump(data, default_flow_style=flow, default_style=style, allow_unicode=True),
    DATA,
    st.sampled_from([None, True, False]),
    st.sampled_from([None, '"', "'", "|", ">"]),
)
TYPED = st.lists(
    st.sampled_from(
        ["a: ", "b:\n", "- ", "  ", "\n", "x", "'y'", "{", "}", "[", "]", ", ", "k: v", "# c\n", "&n ", "*n", "|\n"]
    ),
    max_size=14,
).map("".join)


def read(text: str) -> tuple[Node | None, list[str]]:
    """Return the tree and the problems."""
    problems = Problems()
    return read_bytes(text.encode(), "f", problems), [problem.render() for problem in problems.in_order()]


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without its parser in C")
@given(WRITTEN | TYPED)
@example("hall: {on: }")
@example("a: |\n  x\n\n\nb: >-\n  y\n")
@example("? a\n: b\n")
@example("'𝄞': é\n")
def test_both_parsers_read_the_same_tree(text: str) -> None:
    """Values and places are alike, and so is what is refused."""
    assume("\ud800" not in text)
    quick = read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        assert quick == read(text)
