"""Every key, code, metric, command and layer is told in the documents, and nothing that there is not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.argo import errors as argo_errors
from bridge.cli.catalogue import VERBS
from bridge.cli.main import build_parser
from bridge.configfile.fields import Section
from bridge.configfile.problems import Code
from bridge.core.metrics import Durations, Metrics
from bridge.interface.described.schemas import named_schemas
from bridge.interface.messages import SUBMIT_NAMES, TRIGGER_NAMES
from bridge.interface.operations import Operation
from bridge.interface.replies import HTTP_CODES
from bridge.mapping.definition import MappingFile
from bridge.mapping.payloads import FORMATS_NOT_YET
from bridge.validation import finding
from tests.docs.key_pages import key_table
from tests.support.documents import ROOT, documents

_CODES = (
    r'\bcode="([a-z0-9-]+)"',
    r'\bdefault_code = "([a-z0-9-]+)"',
    r'(?:Refusal|HealthProblem|Quiet)\(\s*"([a-z0-9-]+)"',
    r'(?:messages_skipped|replies_unsendable|internal_errors)\.labels\((?:\w+=)?"([a-z0-9-]+)"',
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def all_text() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in documents())


def test_every_key_of_a_mapping_is_in_the_guide() -> None:
    """The guide's table names each one; keys that are refused as not built yet are not advertised."""
    rows = key_table(Section(MappingFile)).splitlines()[2:]
    keys = [row.split("`")[1].removeprefix("mappings[].") for row in rows if "not built yet" not in row]
    guide = read("docs/mappings.md")
    missing = [key for key in keys if f"`{key}`" not in guide and not key.startswith("tests[]")]
    assert missing == []


def test_every_format_that_is_not_built_is_in_the_readme() -> None:
    """It says which ones `check` refuses."""
    assert [name for name in FORMATS_NOT_YET if f"`{name}`" not in read("README.md")] == []


def test_every_problem_code_is_explained() -> None:
    """The table of problems holds exactly the codes that there are."""
    table = read("docs/configuration.md").partition("## Problems")[2]
    assert sorted(re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE)) == sorted(code.value for code in Code)


def codes_in_the_program() -> Iterator[str]:
    for path in (ROOT / "bridge").rglob("*.py"):
        if "simulator" not in path.parts:
            text = path.read_text(encoding="utf-8")
            for pattern in _CODES:
                yield from re.findall(pattern, text)
    yield from HTTP_CODES
    yield from argo_errors.HINTS
    yield from (fault.value for fault in argo_errors.Fault)
    yield from (code for *_, code in argo_errors._TEXTS)
    yield from (code for _, code in (*argo_errors._STATUSES.values(), *argo_errors._STATUSES_OF_ARGO.values()))


def test_every_code_is_explained() -> None:
    """Whatever code a reply, dead letter, log line, health page or metric shows, a document has it."""
    text = all_text()
    found = set(codes_in_the_program())
    assert len(found) > 80, "the search is broken"
    assert sorted(code for code in found if f"`{code}`" not in text) == []


def test_the_codes_of_replies_are_right() -> None:
    """The table of the interface reference has each reason at the code that it is answered with."""
    table = read("docs/interface.md").partition("| code | when |")[2].partition("\n\n")[0]
    shown = {}
    for code, reasons in re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE):
        shown |= dict.fromkeys(re.findall(r"`([a-z-]+)`", reasons), int(code))
    assert shown == HTTP_CODES


def test_every_metric_is_in_the_table() -> None:
    """Name, type and labels, and no metric that there is not."""
    table = read("docs/operations.md").partition("metrics: begin")[2].partition("metrics: end")[0]
    shown = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", table, re.MULTILINE):
        shown[name] = (kind, tuple(re.findall(r"`(\w+)`", labels)))
    assert shown == dict(real_metrics(Metrics()))


def real_metrics(metrics: Metrics) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    for metric in vars(metrics).values():
        if isinstance(metric, Durations):
            yield metric._name, ("histogram", ())
        elif hasattr(metric, "_type"):
            ending = "_total" if metric._type == "counter" else ""
            yield metric._name + ending, (metric._type, tuple(metric._labelnames))


def test_every_action_of_the_log_is_in_the_table() -> None:
    """What a line says was being done, and nothing that no line says."""
    row = read("docs/operations.md").partition("\n| `action` |")[2].partition("\n")[0]
    found = set()
    for path in (ROOT / "bridge").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'(?:fields\(\s*|_seldom\.warning\(.*)action="([a-z-]+)"', text))
        found |= set(re.findall(r'\.unexpected\("([a-z-]+)"', text))
    assert set(re.findall(r"`([a-z-]+)`", row)) == found


def verbs() -> set[str]:
    actions = [action for action in build_parser()._actions if action.choices and action.dest == "verb"]
    return set(actions[0].choices or ())


def test_every_command_is_in_the_readme() -> None:
    """The table of commands names each verb, and no other."""
    assert verbs() == {verb.name for verb in VERBS}
    table = read("README.md").partition("## The command")[2].partition("\n\nExit codes")[0]
    assert set(re.findall(r"`argo-bridge ([\w-]+)", table)) == verbs()


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_no_document_names_a_command_that_there_is_not(path: Path) -> None:
    """Whatever stands behind argo-bridge in code is a verb."""
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"^ +(?:\S*/)?argo-bridge ([a-z][\w-]*)", text, re.MULTILINE))
    named |= set(re.findall(r"`(?:\S*/)?argo-bridge ([a-z][\w-]*)", text))
    assert named - verbs() == set()


def test_every_exit_code_is_explained() -> None:
    """The guide of operations, the reference of commands and the README name each one."""
    codes = re.findall(r"^[A-Z_]+ = (\d+)$", read("bridge/cli/exit_codes.py"), re.MULTILINE)
    for document in ("docs/operations.md", "docs/commands.md"):
        table = read(document).partition("## Exit codes")[2].partition("\n## ")[0]
        assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == codes, document
    paragraph = read("README.md").partition("\nExit codes:")[2].partition("\n\n")[0]
    assert re.findall(r"\b\d+\b", paragraph) == codes


def test_every_key_of_a_request_is_in_the_reference() -> None:
    """Keys of trigger messages and of submit, and all operations."""
    reference = read("docs/interface.md")
    names = [*TRIGGER_NAMES, *SUBMIT_NAMES, *(operation.value for operation in Operation)]
    assert [name for name in names if f"`{name}`" not in reference] == []


def test_every_key_of_a_body_is_in_the_reference() -> None:
    """Whatever key a request, reply, status, report, dead letter or state may have, by itself or in a path."""
    reference = read("docs/interface.md") + read("docs/operations.md")
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`|\"\w+\":", reference))))
    assert {key for schema in named_schemas().values() for key in keys_in(schema)} - named == set()


def keys_in(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from keys_in(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from keys_in(inner)


def test_every_code_of_validation_is_explained() -> None:
    """The codes of findings are in the guide's table."""
    codes = re.findall(r'^    [A-Z_]+ = "([a-z-]+)"', Path(finding.__file__).read_text(encoding="utf-8"), re.MULTILINE)
    guide = read("docs/validation.md")
    assert [code for code in codes if f"`{code}`" not in guide] == []


def test_the_layers_are_those_of_the_contract() -> None:
    """ARCHITECTURE.md tells each layer that import-linter checks."""
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = {name.strip() for line in contracts[0]["layers"] for name in line.split("|")}
    table = read("ARCHITECTURE.md").partition("## Layers")[2].partition("## Threads")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == layers | {"simulator"}


def test_every_thread_has_its_row() -> None:
    """ARCHITECTURE.md names each thread that the program starts."""
    table = read("ARCHITECTURE.md").partition("## Threads")[2].partition("##")[0]
    rows = set(re.findall(r"`([a-z-]+)", "".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE))))
    started = set()
    for path in (ROOT / "bridge").rglob("*.py"):
        if not {"simulator", "cli"} & set(path.parts):
            made = r'(?:Thread\([^)]*?name=|super\(\).__init__\()f?"([a-z-]+)(?:"|\{)'
            started |= set(re.findall(made, path.read_text(encoding="utf-8")))
    assert started >= {"dispatch", "outbox", "status-watch-", "mqtt-", "amqp-"}
    assert started <= rows, started - rows
