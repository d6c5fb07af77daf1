"""Properties: a valid workflow with one thing changed is refused at exactly that place; both libraries agree."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from valid_workflows import LIBRARY, RELEASES, SAMPLES

from bridge.core.nearest import Proposals, distance
from bridge.validation.explanation import Explainer
from bridge.validation.validator import KINDS

BOUNDED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


class Place(NamedTuple):
    """One object of a manifest that a type of the schema describes."""

    path: tuple[str | int, ...]
    fields: dict[str, Any]


def places(value: Any, schema: Any, definitions: Any, path: tuple[str | int, ...] = ()) -> list[Place]:
    """Every object with known fields, found by walking manifest and schema side by side."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    found = []
    if isinstance(value, dict):
        if schema.get("additionalProperties") is False and schema["properties"]:
            found.append(Place(path, schema["properties"]))
        for key, inner in value.items():
            below = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(below, dict):
                found += places(inner, below, definitions, (*path, key))
    elif isinstance(value, list) and "items" in schema:
        for index, inner in enumerate(value):
            found += places(inner, schema["items"], definitions, (*path, index))
    return found


def at(manifest: Any, path: tuple[str | int, ...]) -> Any:
    """The value at a path."""
    for step in path:
        manifest = manifest[step]
    return manifest


class Case(NamedTuple):
    """A valid manifest, one of its objects, and one of that object's fields."""

    kind: str
    version: str
    manifest: dict[str, Any]
    place: Place
    field: str

    def findings(self) -> dict[tuple[str | int, ...], Any]:
        """The findings by path."""
        return {one.path: one for one in LIBRARY.validator(self.version).problems(self.manifest, self.kind)}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any field of any sample in any release that has it."""
    sample = draw(st.sampled_from(SAMPLES))
    version = draw(st.sampled_from([one for one in RELEASES if sample.releases.cover(one)]))
    definitions = LIBRARY.schema(version)["$defs"]
    manifest = deepcopy(sample.manifest)
    place = draw(st.sampled_from(places(manifest, {"$ref": f"#/$defs/{sample.kind}"}, definitions)))
    known = [key for key in at(manifest, place.path) if key in place.fields]
    assume(known)
    return Case(sample.kind, version, manifest, place, draw(st.sampled_from(known)))


LETTERS = "abcdefghijklmnopqrstuvwxyzAEIOU"


@st.composite
def misspelt(draw: st.DrawFn, word: str) -> str:
    """The word with one slip of the hand."""
    index = draw(st.integers(0, len(word) - 1))
    letter = draw(st.sampled_from(LETTERS))
    slips = [
        word[:index] + word[index + 1 :],
        word[:index] + letter + word[index:],
        word[:index] + letter + word[index + 1 :],
        word[:index] + word[index + 1 : index + 2] + word[index] + word[index + 2 :],
    ]
    return draw(st.sampled_from(slips))


@BOUNDED
@given(cases(), st.data())
def test_a_misspelt_field_is_found_at_its_place_and_the_right_one_proposed(case, data):
    """No typo reaches the cluster, whatever the object and the release."""
    wrong = data.draw(misspelt(case.field))
    holder = at(case.manifest, case.place.path)
    assume(wrong and wrong not in case.place.fields)
    edits = distance(wrong.lower(), case.field.lower())
    others = [key for key in case.place.fields if key != case.field]
    assume(all(distance(wrong.lower(), key.lower()) > edits for key in others))
    holder[wrong] = holder.pop(case.field)
    found = case.findings()[(*case.place.path, wrong)]
    assert (found.code, found.suggestion) == ("unknown-field", case.field)
    assert f'did you mean "{case.field}"?' in found.message


@BOUNDED
@given(cases())
def test_a_value_of_the_wrong_type_is_found_at_its_place(case):
    """A list where none may stand, a text where a list or map should."""
    means = case.place.fields[case.field]
    target = LIBRARY.schema(case.version)["$defs"].get(means.get("$ref", "").rpartition("/")[2], means)
    types = target.get("type", ["string"] if "anyOf" in target or "const" in target else [])
    assume(types)
    holder = at(case.manifest, case.place.path)
    holder[case.field] = "text" if {"array", "object"} & set(types) else [["list"]]
    found = case.findings()[(*case.place.path, case.field)]
    assert found.code == ("bad-value" if "const" in target else "wrong-type")
    assert found.found == ('"text"' if holder[case.field] == "text" else "a list")
    assert found.expected


@BOUNDED
@given(cases(), st.data())
def test_a_misplaced_field_is_found_where_it_stands(case, data):
    """A field that is right one level down is wrong here, and the other way round."""
    definitions = LIBRARY.schema(case.version)["$defs"]
    all_places = places(case.manifest, {"$ref": f"#/$defs/{case.kind}"}, definitions)
    target = data.draw(st.sampled_from(all_places))
    assume(case.field not in target.fields)
    value = at(case.manifest, case.place.path).pop(case.field)
    try:
        holder = at(case.manifest, target.path)
    except (KeyError, IndexError):
        assume(False)
    holder[case.field] = value
    assert case.findings()[(*target.path, case.field)].code == "unknown-field"


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(["Always", "{{x}}", "10Gi", "1Gi\n", "2026-01-31T12:00:00Z", "YQ==", "YQ=\n=", "create", ""]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def agree(manifest: object, kind: str, version: str) -> None:
    """Hold the library that decides against the one that explains."""
    decided = LIBRARY.validator(version).fits_schema(manifest, kind)
    explained = Explainer(LIBRARY.schema(version), version, lambda *_: ()).explain(manifest, kind, Proposals())
    assert decided == (not explained), explained


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), JSON)
def test_both_libraries_agree_on_every_changed_manifest(case, value):
    """What jsonschema-rs decides, jsonschema can explain, and nothing else."""
    at(case.manifest, case.place.path)[case.field] = value
    agree(case.manifest, case.kind, case.version)


@settings(max_examples=100, deadline=None)
@given(JSON, st.sampled_from(KINDS), st.sampled_from(RELEASES))
def test_both_libraries_agree_on_any_json(value, kind, version):
    """Also on what is no manifest at all."""
    agree(value, kind, version)
    agree({"spec": value, "metadata": value}, kind, version)


TYPED = st.sampled_from(
    [
        ("spec", "parallelism"),
        ("spec", "priority"),
        ("spec", "activeDeadlineSeconds"),
        ("metadata", "creationTimestamp"),
        ("spec", "podMetadata"),
        ("spec", "hostNetwork"),
        ("spec", "dnsPolicy"),
    ]
)


@settings(max_examples=200, deadline=None)
@given(TYPED, st.one_of(JSON, st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:00:00(Z|\+01:00)\n?")))
def test_both_libraries_agree_on_scalars_at_their_bounds(place, value):
    """Overflows, whole floats, booleans as numbers, line ends after a pattern."""
    agree({place[0]: {place[1]: value}, "spec": {place[1]: value}}, "Workflow", "4.1.2")


@BOUNDED
@given(cases())
def test_a_valid_manifest_stays_valid_when_null_replaces_an_optional_value(case):
    """null is "unset" to Argo's decoder, everywhere."""
    means = case.place.fields[case.field]
    assume("const" not in means)
    holder = at(case.manifest, case.place.path)
    holder[case.field] = None
    assert LIBRARY.validator(case.version).fits_schema(case.manifest, case.kind, relaxed=True)
