"""Each kind of value accepts what its schema accepts, and a class that declares keys reads what it writes."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.interface import keys
from bridge.interface.described.schemas import named_schemas
from bridge.interface.keys import MisfitError, ValueKind, body_of, choice, integer, read_keys
from bridge.interface.messages import SUBMIT_KEYS, Submit

KINDS = {name: kind for name, kind in vars(keys).items() if isinstance(kind, ValueKind)}
KINDS |= {"integer": integer(1, 500), "choice": choice("Failed", "b")}
DEFINITIONS = named_schemas()
TEXTS = ["", "a", "a=b", "Failed", "x" * 4096, "x" * 4097, "2026-11-24T14:00:00Z", "2026-13-24T14:00:00Z", "=a"]
SCALARS = st.none() | st.booleans() | st.integers(-2, 600) | st.floats(-2, 600) | st.sampled_from(TEXTS)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), SCALARS, max_size=2)


def takes(kind: ValueKind, value: object) -> bool:
    """Whether a kind reads a value."""
    try:
        kind.read(value)
    except MisfitError:
        return False
    return True


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_reads_what_its_schema_accepts(name: str) -> None:
    """So that a client that checks its requests by the schemas is never surprised."""
    kind = KINDS[name]
    schema = {**kind.schema, "$defs": DEFINITIONS}
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    taken = set()

    @given(VALUES)
    @example({})
    @example("2026-11-24T14:00:00Z")
    @example(7)
    @example(501)
    @example(True)
    @example([])
    @example("Failed")
    def agree(value: Any) -> None:
        if kind is keys.OUTPUTS and isinstance(value, str):
            return  # Whether a text is the JSON of an object is more than a schema can tell.
        if kind is keys.PARAMETERS and isinstance(value, list) and len(set(map(str, value))) < len(value):
            return  # Nor can it tell that one parameter is given twice.
        taken.add(takes(kind, value))
        assert validator.is_valid(value) == takes(kind, value), value

    agree()
    assert taken == {True, False}, "the search is broken"


@given(st.builds(Submit, *[st.sampled_from(["a", "b"])] * 2, st.dictionaries(st.text(max_size=3), st.text(max_size=3))))
def test_a_declared_class_reads_what_it_writes(submit: Submit) -> None:
    """Its keys are its attributes in camel case; texts that were not given are absent."""
    body = {key: value for key, value in body_of(SUBMIT_KEYS, submit).items() if value}
    values, wrong = read_keys(SUBMIT_KEYS, body)
    assert wrong == []
    assert Submit(**values) == submit
