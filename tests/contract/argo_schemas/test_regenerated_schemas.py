"""The checked-in schemas are what the generator makes of Argo's references, and have every field of them."""

import html
import re

import jsonschema
import pytest

from bridge.validation.differences import notation
from bridge.validation.field_reference import parse_markdown
from bridge.validation.generator import generate, to_bytes
from bridge.validation.library import SchemaLibrary, schema_folder
from bridge.validation.reference_page import parse_page

LIBRARY = SchemaLibrary()


@pytest.mark.parametrize("version", LIBRARY.versions)
def test_a_checked_in_schema_is_what_the_generator_makes(version, reference_text):
    """Nobody edits a schema by hand, and no entry is stale."""
    made = to_bytes(generate(parse_markdown(reference_text(version)), version))
    assert made == (schema_folder() / f"{version}.json").read_bytes()


@pytest.mark.parametrize("version", LIBRARY.versions)
def test_the_published_page_makes_the_same_schema(version, reference_text):
    """The page is the same Markdown, rendered by MkDocs with the Material theme."""
    assert generate(parse_page(rendered(reference_text(version))), version) == LIBRARY.schema(version)


def rendered(markdown):
    """The page as MkDocs makes it: only what the reader looks at, with the same tags and marks."""
    lines = ["<!doctype html><html><body><h3>Table of contents</h3>"]
    for line in markdown.splitlines():
        if heading := re.match(r"(#+) (.*)", line):
            level = len(heading[1])
            permalink = '<a class="headerlink" href="#x" title="Permanent link">&para;</a>'
            lines.append(f"<h{level}>{heading[2]}{permalink}</h{level}>")
        elif line.startswith("|:"):
            continue
        elif line.startswith("|"):
            tag = "th" if "Field Name" in line else "td"
            cells = "".join(f"<{tag}>{inline(cell.strip())}</{tag}>" for cell in line.strip("|").split("|"))
            lines.append(f"<table><tr>{cells}</tr></table>")
        elif line:
            lines.append(f"<p>{inline(line)}</p>")
    return "\n".join(lines)


def inline(text):
    """Links and code marks as HTML; struck-through marks stay as they are."""
    text = re.sub(r"`([^`]*)`", lambda found: f"<code>{html.escape(found[1])}</code>", text)
    return re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r'<a href="\2">\1</a>', text)


@pytest.mark.parametrize("version", LIBRARY.versions)
def test_a_schema_is_valid_json_schema_with_an_entry_for_each_type(version):
    """Draft 2020-12; every reference leads somewhere; every object refuses unknown fields or is free on purpose."""
    schema = LIBRARY.schema(version)
    jsonschema.Draft202012Validator.check_schema(schema)
    definitions = schema["$defs"]
    assert all(name == one["title"] for name, one in definitions.items())
    assert set(re.findall(r"#/\$defs/([\w.]+)", to_bytes(schema).decode())) <= set(definitions)
    free = {name for name, one in definitions.items() if "properties" not in one}
    assert free == {"Amount", "FieldsV1", "IntOrString", "Item", "Plugin", "Quantity", "Time"}
    assert all(one["additionalProperties"] is False for name, one in definitions.items() if name not in free)


# Read here by an expression of its own, so that a fault of the reader under test cannot hide a field.
ROW = re.compile(r"^\|(?:~~)?`(\w+)`(?:~~)?\|(.*?)\|", re.MULTILINE)
API_ANSWERS = {"InfoResponse", "Column", "Link"}
SCALARS = {"string": "string", "boolean": "boolean", "integer": "integer", "byte": "string"}

# The fields whose type the reference gets wrong, as its reviewers wrote them down.
CORRECTED = {
    "WorkflowSpec.hooks": "map of LifecycleHook",
    "WorkflowStep.hooks": "map of LifecycleHook",
    "DAGTask.hooks": "map of LifecycleHook",
    "WorkflowMetadata.labelsFrom": "map of LabelValueFrom",
    "ResourceRequirements.limits": "map of Quantity",
    "ResourceRequirements.requests": "map of Quantity",
    "VolumeResourceRequirements.limits": "map of Quantity",
    "VolumeResourceRequirements.requests": "map of Quantity",
    "PersistentVolumeClaimStatus.capacity": "map of Quantity",
    "PersistentVolumeClaimStatus.allocatedResources": "map of Quantity",
    "WorkflowStatus.nodes": "map of NodeStatus",
    "WorkflowStatus.storedTemplates": "map of Template",
    "ArtGCStatus.podsRecouped": "map of boolean",
    "ArtGCStatus.strategiesProcessed": "map of boolean",
    "WorkflowStatus.taskResultsCompletionStatus": "map of boolean",
    "NodeStatus.resourcesDuration": "map of integer",
    "WorkflowStatus.resourcesDuration": "map of integer",
    "Parameter.value": "string or number or boolean",
    "Parameter.default": "string or number or boolean",
    "Parameter.description": "string or number or boolean",
    "Parameter.enum": "list of string or number or boolean",
    "ValueFrom.default": "string or number or boolean",
}


def expected(type_name, field, cell):
    """The notation that the schema should have for a cell of the table."""
    plain = re.sub(r"[`~ ]|\(#\w*\)|[\[\]]", "", cell)
    if corrected := CORRECTED.get(f"{type_name}.{field}"):
        return corrected
    if inner := re.fullmatch(r"Array<Array<(\w+)>>", plain):
        return f"list of list of {inner[1]}"
    if inner := re.fullmatch(r"Array<(\w+)>", plain):
        return f"list of {inner[1]}"
    return "map of string" if plain == "Map<string,string>" else SCALARS.get(plain, plain)


@pytest.mark.parametrize("version", LIBRARY.versions)
def test_every_field_of_the_reference_is_in_the_schema_with_the_right_type(version, reference_text):
    """And nothing else is, but for what the reference lacks altogether."""
    definitions = LIBRARY.schema(version)["$defs"]
    argo, kubernetes = reference_text(version).split("\n# External Fields\n")
    seen = 0
    for section, text in (("", argo), ("k8s.", kubernetes)):
        for block in text.split("\n## ")[1:]:
            name = block.split("\n", 1)[0].strip()
            key = section + name if section + name in definitions else name
            rows = dict(ROW.findall(block))
            if name in API_ANSWERS or not rows:
                continue
            properties = definitions[key]["properties"]
            assert set(properties) == set(rows), key
            for field, cell in rows.items():
                shown, wanted = notation(properties[field]), expected(name, field, cell)
                fixed = "const" in properties[field] or "anyOf" in properties[field]
                same_name_twice = shown == f"k8s.{wanted}" == "k8s.HTTPHeader" or shown == "list of k8s.HTTPHeader"
                assert shown == wanted or (fixed and wanted == "string") or same_name_twice, f"{key}.{field}"
                seen += 1
    assert seen > 1000
