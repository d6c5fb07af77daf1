"""Nothing that came from outside reaches any string of a workflow with ``{{`` in it: Argo would carry it out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_fakes import IngestBench, request, sensor

from bridge.argo.manifests import Manifests
from bridge.core.metrics import Metrics
from bridge.interface.replies import Refusal
from bridge.pipeline.dispatch.plans import marks_of
from bridge.pipeline.intake.identity import Deliveries
from bridge.pipeline.intake.mapped import MappedEvents
from bridge.settings.configuration import load
from bridge.spool.records import NewEvent
from tests.support.bridge_files import BridgeFiles
from tests.support.clock import FakeClock

TEXT = st.text("{}=a", min_size=1, max_size=4)
TEXTS = st.dictionaries(TEXT, TEXT, max_size=2)
VALUES = st.dictionaries(TEXT, TEXT | st.integers() | TEXTS | st.lists(TEXT, max_size=2), max_size=2)
OWN = "{{workflow.name}} "
MAPPING = f"""
  - name: any
    topic: sensors/{{x}}/#
    workflow:
      template: t
      parameters: {{p: "{OWN}${{payload.a}}", whole: "${{payload}}"}}
      annotations: {{n: "{OWN}${{payload.b}}${{topic.x}}"}}
      labels: {{site: hall}}
    status:
      topic: status/{{x}}
"""


def strings(value: Any) -> list[str]:
    """Every key and value that is text, however deep."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, inner in value.items() for text in (key, *strings(inner))]
    return [text for inner in value for text in strings(inner)] if isinstance(value, list) else []


def created(event: NewEvent) -> list[str]:
    """Every text of the request that creates the event's workflow."""
    return strings(orjson.loads(Manifests().create_body(event.order, marks_of("plant-1", event))))


@given(
    st.fixed_dictionaries(
        {"template": st.sampled_from(["t", "t{{"])},
        optional={
            "parameters": VALUES,
            "name": TEXT,
            "generateName": TEXT,
            "entrypoint": TEXT,
            "serviceAccount": TEXT,
            "labels": TEXTS,
            "annotations": TEXTS,
        },
    )
)
def test_a_submit_that_is_taken_brings_none(submit: dict[str, Any]) -> None:
    """Whatever its keys and values are, names of parameters, labels and annotations included."""
    bench = IngestBench(Path(os.devnull))
    bench.receive(request({"submit": submit}))
    for row in bench.waiting():
        assert not [text for text in created(row.event) if "{{" in text]
    assert bench.reasons() in ([], ["template-braces"])
    assert bool(bench.waiting()) == ("{{" not in "\n".join(strings(submit)))


@given(TEXTS, TEXTS, TEXT)
def test_the_metadata_of_a_manifest_brings_none(labels: dict[str, str], annotations: dict[str, str], name: str) -> None:
    """Its spec may, for whoever may send one."""
    bench = IngestBench(Path(os.devnull))
    metadata = {"labels": labels, "annotations": annotations, "generateName": name}
    bench.receive(request({"workflow": {"metadata": metadata, "spec": {"entrypoint": "{{a}}"}}}))
    for row in bench.waiting():
        assert [text for text in created(row.event) if "{{" in text] == ["{{a}}"]
    assert bool(bench.waiting()) == ("{{" not in "\n".join(strings(metadata)))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> MappedEvents:
    """A mapping whose own texts have braces."""
    files = BridgeFiles(tmp_path_factory.mktemp("bridge"), "mqtt://h", "http://h", mappings=MAPPING)
    loaded = load(files.write(), {})
    assert loaded.ok, [problem.render() for problem in loaded.problems]
    return MappedEvents("plant-1", loaded.compiled, Metrics(), FakeClock())


@given(TEXT, TEXT, TEXT, TEXT)
def test_a_mapped_message_brings_none_beside_the_mappings_own(
    mapped: MappedEvents, a: str, b: str, level: str, rest: str
) -> None:
    """Neither its payload nor its topic, which stands in annotations."""
    message = sensor(orjson.dumps({"a": a, "b": b}), topic=f"sensors/{level}/{rest}")
    (match,) = mapped.matches(message)
    result = mapped.result(match, message, Deliveries(lambda *_: None).of(message))
    if isinstance(result, Refusal):
        assert result.reason == "template-braces"
        return
    assert isinstance(result, NewEvent)
    braced = [text for text in created(result) if "{{" in text]
    assert [text.startswith(OWN) and "{{" not in text.removeprefix(OWN) for text in braced] == [True, True]
