"""Promises of the mapping guide: what it shows is what the bridge accepts, and what it lists is what there is."""

import re
from pathlib import Path

import pytest

from bridge.configfile.problems import Problems
from bridge.configfile.source import SourceFile, read_bytes
from bridge.expressions.paths import ROOTS
from bridge.mapping.compiler import compile_mappings
from bridge.mapping.definition import read_definitions
from bridge.mapping.definition_checks import MappingContext, check_definitions
from bridge.mapping.payloads import PayloadFormat
from tests.support.descriptors import descriptor_set, reading

GUIDE = (Path(__file__).parents[3] / "docs" / "mappings.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
CONTEXT = MappingContext("argo/workflows", frozenset({"plant"}), ("factory",))


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_a_mapping_file_without_problems(block, tmp_path):
    """It can be copied as it stands."""
    (tmp_path / "plant.desc").write_bytes(descriptor_set(reading()))
    problems = Problems()
    root = read_bytes(block.encode(), "guide.yaml", problems)
    definitions = read_definitions([SourceFile(tmp_path / "guide.yaml", root)], problems)
    checked = check_definitions(definitions, CONTEXT, problems)
    mappings, found = compile_mappings(checked, lambda name, _: {"spec": {"workflowTemplateRef": {"name": name}}})
    assert [problem.render() for problem in (*problems.found, *found)] == []
    assert len(mappings) == len(definitions) > 0


def test_the_guide_names_every_reason_format_and_variable():
    """Each in the table where people look for it."""
    source = Path(__file__).parents[3] / "bridge" / "mapping"
    files = [*(source / name for name in ("compiled.py", "payload_schema.py", "render.py"))]
    text = "".join(path.read_text(encoding="utf-8") for path in (*files, *(source / "formats").glob("*.py")))
    codes = set(re.findall(r'(?:code=|default_code = )"([a-z-]+)"', text))
    assert {"expression-error", "invalid-payload", "template-braces", "invalid-name"} <= codes
    for word in (*codes, *(form.value for form in PayloadFormat), *ROOTS):
        assert f"| `{word}` |" in GUIDE
