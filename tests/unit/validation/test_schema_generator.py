"""The generator on small references: what corrections do, and that none goes stale unseen."""

import json

import jsonschema
import pytest

from bridge.core.errors import PermanentError
from bridge.validation import corrections, reviewed_facts
from bridge.validation.corrections import AddedType, DroppedType, FieldMeaning, RootKind, SpecialType
from bridge.validation.field_reference import parse_markdown
from bridge.validation.generator import Rules, entry_point, generate, to_bytes
from bridge.validation.reviewed_facts import Enum, Required
from bridge.validation.versions import since, until

TABLE = "### Fields\n| Field Name | Field Type | Description   |\n|:----------:|:----------:|---------------|\n"
REFERENCE = (
    "# Field Reference\n"
    f"## Thing\nx\n{TABLE}|`apiVersion`|`string`|x|\n|`kind`|`string`|x|\n|`hooks`|[`Hook`](#hook)|x|\n"
    "|`size`|[`Size`](#size)|x|\n|`header`|[`Header`](#header)|x|\n|`mode`|`string`|One of On, Off|\n"
    "|`count`|`integer`|x|\n"
    f"## Hook\nx\n{TABLE}|`name`|`string`|x|\n|`inline`|[`Thing`](#thing)|x|\n"
    f"## Header\nx\n{TABLE}|`from`|`string`|x|\n"
    "# External Fields\n## Size\nx\n"
    f"## Header\nx\n{TABLE}|`value`|`string`|x|\n"
    f"## Get\nx\n{TABLE}|`header`|[`Header`](#header)|x|\n"
)
RULES = Rules(
    special_types=(SpecialType("Size", {"type": ["string", "number", "null"]}, "test"),),
    field_meanings=(FieldMeaning(("Thing.hooks",), "Hook", "Map<Hook>", "test"),),
    added_types=(),
    dropped_types=(),
    root_kinds=(RootKind("Thing", "test"),),
    enums=(Enum(("Thing.mode",), ("Off", "On"), since("1.0"), "test"),),
    required=(Required("Hook", ("name",)),),
)


def made(version="4.1.2", reference=REFERENCE, **changes):
    """The schema with some rules changed."""
    fields = {name: getattr(RULES, name) for name in Rules.__dataclass_fields__}
    return generate(parse_markdown(reference), version, Rules(**{**fields, **changes}))


def valid(thing, schema=None):
    """Whether the root type takes it."""
    return jsonschema.Draft202012Validator(entry_point(schema or made(), "Thing")).is_valid(thing)


def failures(**changes):
    """What the generation says against the rules."""
    with pytest.raises(PermanentError) as caught:
        made(**changes)
    assert caught.value.code == "correction-does-not-apply"
    return list(caught.value.details)


def test_the_same_input_gives_the_same_bytes():
    """A regenerated schema shows a difference only where the reference has one."""
    assert to_bytes(made()) == to_bytes(made())
    assert to_bytes(made()).endswith(b"}\n")


def test_a_schema_is_a_draft_2020_12_schema_without_prose():
    """Field names and types only; the descriptions are not ours."""
    schema = made()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "description" not in json.dumps(schema)


def test_the_root_is_chosen_by_kind():
    """An error below the root names the field, because no choice of five stands in its way."""
    validator = jsonschema.Draft202012Validator(made())
    errors = list(validator.iter_errors({"kind": "Thing", "nope": 1}))
    assert [list(error.absolute_path) for error in errors] == [[]]
    assert errors[0].validator == "additionalProperties"
    assert not validator.is_valid({"kind": "Other"})
    assert not validator.is_valid({})


def test_unknown_fields_are_refused_at_every_depth():
    """The whole point: what Argo would drop silently is an error."""
    assert valid({"hooks": {"any key": {"name": "a", "inline": {"size": 1}}}})
    assert not valid({"hooks": {"any key": {"name": "a", "inline": {"sise": 1}}}})


def test_null_is_unset_for_every_kind_of_value():
    """Argo's decoder takes null everywhere, in lists and maps too."""
    everything = dict.fromkeys(["hooks", "size", "header", "mode", "count"])
    assert valid(everything)
    assert valid({"hooks": {"a": None}})


def test_a_name_in_both_sections_makes_two_types():
    """Argo's Header has `from`, Kubernetes' has `value`; neither takes the other's."""
    schema = made()
    assert valid({"header": {"from": "x"}}, schema)
    assert not valid({"header": {"value": "x"}}, schema)
    assert schema["$defs"]["Get"]["properties"]["header"] == {"$ref": "#/$defs/k8s.Header"}


def test_an_enum_lets_template_tags_through():
    """`{{...}}` is decided at run time, and Argo takes it."""
    assert valid({"mode": "On"})
    assert valid({"mode": "{{inputs.parameters.mode}}"})
    assert not valid({"mode": "on"})
    assert not valid({"mode": 1})


def test_integers_have_the_bounds_of_gos_type():
    """The decoder refuses an overflow, so the schema does."""
    assert valid({"count": 2**63 - 1})
    assert not valid({"count": 2**63})
    assert not valid({"count": 1.5})
    assert not valid({"count": True})


def test_constants_and_required_fields_are_set():
    """A wrong apiVersion and a missing required field are refused."""
    assert valid({"apiVersion": "argoproj.io/v1alpha1", "kind": "Thing"})
    assert not valid({"apiVersion": "argoproj.io/v1"})
    assert not valid({"hooks": {"a": {}}})


def test_a_type_without_a_table_that_no_entry_names_fails():
    """A new special type needs a review."""
    assert failures(special_types=()) == ["type Size has no table, and no entry of SPECIAL_TYPES names it"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"field_meanings": (FieldMeaning(("Thing.hooks",), "Array<Hook>", "x", "t"),)}, 'reads "Hook", not'),
        ({"field_meanings": (FieldMeaning(("Thing.gone",), "Hook", "Hook", "t"),)}, "Thing.gone: the field is not"),
        ({"field_meanings": (FieldMeaning(("Thing.count",), "integer", "float", "t"),)}, 'what "float" means'),
        ({"special_types": (*RULES.special_types, SpecialType("Hook", {}, "t"))}, "Hook: the type has a table"),
        ({"special_types": (*RULES.special_types, SpecialType("No", {}, "t"))}, "No: the type is not in"),
        ({"added_types": (AddedType("Hook", "t"),)}, "the reference has the type now"),
        ({"dropped_types": (DroppedType("No", "t"),)}, "DROPPED_TYPES No"),
        ({"root_kinds": (RootKind("Hook", "t"),)}, "ROOT_KINDS Hook"),
        ({"enums": (Enum(("Thing.count",), ("1",), None, "t"),)}, "no string field"),
        ({"enums": (Enum(("Thing.mode",), ("On", "Auto"), since("1.0"), "t"),)}, "does not list Auto"),
        ({"required": (Required("Hook", ("gone",)),)}, "gone not in the reference"),
        ({"required": (Required("Hook", ("name",)), Required("Hook", ("inline",)))}, "two entries"),
    ],
)
def test_an_entry_that_no_longer_applies_fails_the_generation(changes, said):
    """A stale correction would hide a change of Argo."""
    assert any(said in one for one in failures(**changes))


def test_an_entry_for_other_releases_is_left_alone():
    """Entries name their releases, so that one declaration serves all."""
    later = (FieldMeaning(("Thing.gone",), "Hook", "Hook", "t", since("5.0")), *RULES.field_meanings)
    earlier = (Required("Thing", ("gone",), until("3.5")),)
    assert made(field_meanings=later, required=earlier) == made(required=())


def test_an_added_type_is_defined_like_any_other():
    """What the reference lacks is declared with its fields."""
    schema = made(added_types=(AddedType("More", "t", fields={"hook": "Hook", "all": "Array<Size>"}),))
    assert schema["$defs"]["More"]["properties"] == {
        "all": {"items": {"$ref": "#/$defs/Size"}, "type": ["array", "null"]},
        "hook": {"$ref": "#/$defs/Hook"},
    }


def test_a_map_whose_value_type_nobody_declared_fails():
    """`Map<boolean,string>` means a map of booleans; without an entry it is not guessed."""
    reference = REFERENCE.replace("|`count`|`integer`|x|", "|`count`|`Map< boolean , string >`|x|")
    assert any(
        'Thing.count: nothing says what "Map<boolean,string>" means' in one for one in failures(reference=reference)
    )


def test_every_declared_entry_names_its_source():
    """A correction that cannot be checked is a rumour."""
    entries = [
        *corrections.SPECIAL_TYPES,
        *corrections.FIELD_MEANINGS,
        *corrections.ADDED_TYPES,
        *corrections.DROPPED_TYPES,
        *corrections.ROOT_KINDS,
        *reviewed_facts.ENUMS,
    ]
    assert all(entry.source for entry in entries)
