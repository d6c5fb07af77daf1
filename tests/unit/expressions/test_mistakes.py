"""What people write who know other languages: the message says what CEL has instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.expressions.expression import ExpressionError, compile_condition
from bridge.expressions.mistakes import constant_patterns, mistake


@pytest.mark.parametrize(
    ("source", "proposal", "offset"),
    [
        ("payload.value = 5", "CEL has no =; write ==", 14),
        ("payload.value === 5", "CEL has no ===; write ==", 14),
        ("payload.value =< 5", "CEL has no =<; write <=", 14),
        ("payload.value=>5", "CEL has no =>; write >=", 13),
        ("payload.value <> 5", "CEL has no <>; write !=", 14),
        ("payload.a && payload.b & payload.c", "CEL has no &; write &&", 23),
        ("payload.value > 5 and payload.x == 1", "CEL has no and; write &&", 18),
        ("payload.a or payload.b", "CEL has no or; write ||", 10),
        ("not payload.a", "CEL has no not; write !", 0),
        ("payload.a == True", "CEL has no True; write true", 13),
        ("payload.a == None", "CEL has no None; write null", 13),
        ("len(payload.x) > 3", "CEL has no len; write size", 0),
        ("if payload.a then 1", "CEL has no if; write condition ? value : other", 0),
        ("has(payload['a b'])", "write 'a b' in payload", 0),
        ("has(payload.x['a'])", "write 'a' in payload.x", 0),
        ("payload.name.matches('(')", "the regular expression '(' is wrong", 21),
        ("matches(payload.name, '[')", "the regular expression '[' is wrong", 22),
    ],
)
def test_a_known_mistake_is_named_with_its_place(source: str, proposal: str, offset: int) -> None:
    """The sentence of the parser would help nobody."""
    with pytest.raises(ExpressionError) as refused:
        compile_condition(source, [])
    (fault,) = refused.value.faults
    assert proposal in fault.message
    assert fault.offset == offset


@pytest.mark.parametrize(
    "source",
    [
        "payload.and == 1 && has(payload.or)",
        "payload.name == 'a = b and not c'",
        "payload.x <= 5 || payload.x >= 7 || payload.x != 6 || !payload.ok",
        "payload.name.matches('^[a-z]+$')",
        "payload.?battery.orValue(0) < 5",
        "payload.items.exists(one, one.len == 3)",
    ],
)
def test_what_cel_accepts_is_no_mistake(source: str) -> None:
    """Fields, texts and the language's own signs."""
    compile_condition(source, [])


@given(st.text(st.sampled_from("=<>!&| ().,[]'\"hasmatchesifand0"), max_size=40))
def test_looking_for_mistakes_never_fails(source: str) -> None:
    """Whatever the text is."""
    offset, proposal = mistake(source)
    assert 0 <= offset <= len(source)
    assert isinstance(proposal, str)
    assert all(source[one.offset :].startswith(one.text) for one in constant_patterns(source))
