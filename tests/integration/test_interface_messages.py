"""What a bridge really says, on a real broker, fits the published schemas: requests of every kind, done and refused."""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.interface.operations import SPECS, Operation
from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.interface_check import PREFIX, misfits, schema_of
from tests.support.mosquitto import Mosquitto
from tests.support.spine import Spine, mapping, submit
from tests.support.transport_ends import wait_until

WAIT_S = 60.0
_NUMBERS = itertools.count(1)
SUSPENDING = {
    "metadata": {"generateName": "waits-"},
    "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
}
CRON = {
    "metadata": {"name": "nightly"},
    "spec": {"schedules": ["0 3 * * *"], "workflowSpec": {"workflowTemplateRef": {"name": TEMPLATE}}},
}


class Asking:
    """Asks a bridge for operations, and keeps the answers by operation."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.done_once: set[str] = set()

    def ask(self, operation: str, body: Any, *, at: str = "") -> dict[str, Any]:
        """Publish one request and return its answer."""
        number = next(_NUMBERS)
        topic = f"{PREFIX}response/{operation}"
        before = len(self.spine.on(topic))
        self.spine.publish(
            at or f"{PREFIX}{operation}", body | {"requestId": number} if isinstance(body, dict) else body
        )
        wait_until(lambda: len(self.spine.on(topic)) > before, f"an answer to {operation} {body}", WAIT_S)
        return self.spine.bodies(topic, before + 1)[-1]

    def done(self, operation: str, **body: Any) -> dict[str, Any]:
        """The answer to a request that succeeds."""
        answer = self.ask(operation, body)
        assert "error" not in answer, (operation, answer)
        self.done_once.add(operation)
        return answer

    def ended(self, name: str) -> None:
        """Return once a workflow has ended, as its retained status tells."""
        topic = f"{PREFIX}status/{NAMESPACE}/{name}"
        words = (b'"Succeeded"', b'"Failed"', b'"Error"')
        wait_until(
            lambda: any(word in one.payload for one in self.spine.on(topic) for word in words), f"{name} ends", WAIT_S
        )


@pytest.fixture(params=["5", "3.1.1"])
def asking(request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Asking]:
    """A bridge that runs, and a mapping."""
    with Spine(tmp_path, mosquitto, mapping("reads", "sensors/a"), request.param) as spine:
        yield Asking(spine)


def create_cron(argo_url: str) -> None:
    """Create a CronWorkflow, as anybody would at the Argo Server."""
    url = f"{argo_url}/api/v1/cron-workflows/{NAMESPACE}"
    body = orjson.dumps({"cronWorkflow": CRON})
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200


def all_operations(asking: Asking) -> None:
    """Ask for every operation so that it succeeds."""
    first = asking.done("trigger", **submit())["workflowId"]
    asking.ended(first)
    for read in ("get", "logs"):
        asking.done(read, workflowId=first)
    again = asking.done("resubmit", workflowId=first)["workflowId"]
    asking.ended(again)
    asking.done("list", limit=1)
    asking.done("lint", workflow={"metadata": {"name": "lint"}, "spec": SUSPENDING["spec"]})
    asking.done("list-templates")
    asking.done("get-template", template=TEMPLATE)
    waiting = asking.done("trigger", workflow=SUSPENDING)["workflowId"]
    asking.done("suspend", workflowId=waiting)
    asking.done("set", workflowId=waiting, nodeFieldSelector="displayName=" + waiting, message="soon")
    asking.done("resume", workflowId=waiting)
    for ending in ("stop", "terminate"):
        held = asking.done("trigger", workflow=SUSPENDING)["workflowId"]
        asking.done(ending, workflowId=held)
        asking.ended(held)
    asking.done("retry", workflowId=held)
    asking.done("delete", workflowId=first)
    asking.done("trigger-cron", cron="nightly")
    asking.done("suspend-cron", cron="nightly")
    asking.done("resume-cron", cron="nightly")


def all_refusals(asking: Asking) -> None:
    """Ask for every operation so that it is refused."""
    for operation in Operation:
        name = operation.value
        assert "error" in asking.ask(name, b"no json")
        assert "error" in asking.ask(name, {"nothing": 1})
        assert "error" in asking.ask(name, {"namespace": "elsewhere"}, at=f"{PREFIX}{name}/{NAMESPACE}")
        spec = SPECS.get(operation)
        if spec and spec.name_key:
            required = {option.name: "displayName=a" for option in spec.options if option.required}
            assert "error" in asking.ask(name, {spec.name_key: "nowhere", **required})
    typo = {"workflow": {"metadata": {"name": "a"}, "spec": {"entrypont": "main", "templates": []}}}
    assert asking.ask("trigger", typo)["details"]


def all_updates(asking: Asking) -> None:
    """Send status updates as another system does."""
    asking.spine.publish(f"{PREFIX}status", b"{}")
    seed = {
        "namespace": NAMESPACE,
        "workflowId": "theirs",
        "status": "Running",
        "progress": "50%",
        "message": "halfway",
    }
    asking.spine.publish(f"{PREFIX}status", seed)
    asking.spine.messages(f"{PREFIX}response/status", 2)
    topic = f"{PREFIX}status/{NAMESPACE}/theirs"
    wait_until(lambda: asking.spine.on(topic), "the update is retained", WAIT_S)


@pytest.mark.timeout(240)
def test_what_the_bridge_says_fits_its_schemas(asking: Asking) -> None:
    """Replies of every operation, status, reports, dead letters, availability and state; on no other topic a word."""
    spine = asking.spine
    create_cron(spine.simulator.url)
    all_operations(asking)
    assert asking.done_once == {operation.value for operation in Operation}
    all_refusals(asking)
    all_updates(asking)
    spine.publish("sensors/a", b"no json")
    wait_until(lambda: spine.on(f"{PREFIX}report/{NAMESPACE}"), "a report", WAIT_S)
    wait_until(
        lambda: any(b"reads" in one.payload for one in spine.on(f"{PREFIX}dead-letter")), "a dead letter", WAIT_S
    )
    told = [(message.topic, bytes(message.payload)) for message in list(spine.client.messages)]
    assert list(misfits(told)) == []
    kinds = {schema_of(topic) for topic, _ in told} - {""}
    wanted = {"status", "report", "dead-letter", "availability", "state", "status-update.reply"}
    assert kinds == wanted | {f"{operation.value}.reply" for operation in Operation}


def test_a_message_that_does_not_fit_is_found() -> None:
    """Else the test above would hold for any message."""
    assert list(misfits([("argo/bridge/a/availability", b"maybe")]))
    assert list(misfits([(f"{PREFIX}response/stop", b'{"status": "Workflow triggered successfully"}')]))
    assert list(misfits([(f"{PREFIX}trigger", b"no json"), (f"{PREFIX}status/a/b", b"")])) == []
