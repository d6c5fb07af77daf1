"""How `send --wait` tells, from status messages alone, what became of a workflow."""

import orjson
import pytest

from bridge.cli.visit.follow import GATHER_S, SETTLE_S, NamedWorkflow, StartedWorkflows
from bridge.cli.visit.listeners import Listening
from bridge.core.model import Message

TOPIC = "argo/workflows/status/factory/w-1"


def status(phase, uid="u1", *, retain=False, name="w-1", mapping="boiler", bridge="plant-1", topic=""):
    """A status message on the workflow's retained topic, or on another."""
    body = {
        "namespace": "factory",
        "workflowId": name,
        "status": phase,
        "progress": "0%",
        "message": "",
        "details": {"uid": uid, "mapping": mapping, "bridge": bridge},
    }
    return Message("plant", topic or f"argo/workflows/status/factory/{name}", orjson.dumps(body), 1, retain=retain)


def cleared(name="w-1"):
    """A retained topic that is cleared."""
    return Message("plant", f"argo/workflows/status/factory/{name}", b"", 1)


def test_a_named_workflow_is_over_when_its_topic_says_so():
    """A live end needs no second look."""
    named = NamedWorkflow(TOPIC)
    assert named.take(status("Running"), 10.0).phase == "Running"
    assert named.settles_at_s is None
    named.take(status("Succeeded"), 11.0)
    assert named.settles_at_s == 11.0
    assert named.status.has_succeeded


def test_a_retained_end_may_be_of_an_earlier_workflow_of_that_name():
    """It counts only if no successor speaks up within two seconds."""
    named = NamedWorkflow(TOPIC)
    named.take(status("Failed", "old", retain=True), 10.0)
    assert named.settles_at_s == 10.0 + SETTLE_S
    named.take(status("Pending", "new"), 10.5)
    assert named.settles_at_s is None
    named.take(status("Succeeded", "new"), 12.0)
    assert (named.settles_at_s, named.status.has_succeeded) == (12.0, True)


def test_a_workflow_deleted_while_it_runs_is_over():
    """Nothing would ever end that wait."""
    named = NamedWorkflow(TOPIC)
    assert named.take(cleared(), 1.0) is None
    assert named.settles_at_s is None, "cleared before anything was seen: it is still to come"
    named.take(status("Running"), 2.0)
    named.take(cleared(), 3.0)
    assert named.is_gone
    assert named.settles_at_s is not None


@pytest.mark.parametrize("payload", [b"garbage", b"{}", b"[]", b'{"namespace": 1}'])
def test_what_is_no_status_message_is_passed_over(payload):
    """Anybody may publish anything."""
    named = NamedWorkflow(TOPIC)
    assert named.take(Message("plant", TOPIC, payload, 1), 1.0) is None
    assert named.take(status("Succeeded", name="other"), 1.0) is None
    assert named.settles_at_s is None


def started(*before, listeners=None):
    """A watcher that saw `before`, and whose message is now sent."""
    watcher = StartedWorkflows("plant-1", listeners, "argo/bridge/plant-1/state")
    for message in before:
        watcher.take(message, 0.0)
    watcher.sent()
    return watcher


def test_workflows_that_were_there_before_are_not_ours():
    """Neither those of the broker's memory, however late it tells, nor those that were heard of before."""
    watcher = started(status("Running", "a", retain=True), status("Running", "b"))
    for message in (status("Running", "c", retain=True), *(status("Succeeded", uid) for uid in "abc")):
        assert watcher.take(message, 1.0) is None
    assert not watcher.followed


def test_workflows_of_others_are_not_ours():
    """Another bridge's, and those that a trigger message started."""
    watcher = started()
    assert watcher.take(status("Running", "a", bridge="plant-2"), 1.0) is None
    assert watcher.take(status("Running", "b", mapping=""), 1.0) is None
    assert not watcher.followed


def test_what_begins_together_is_followed_together_to_the_last_end():
    """One message may fire several mappings."""
    watcher = started()
    watcher.take(status("Pending", "a", name="w-1"), 1.0)
    watcher.take(status("Pending", "b", name="w-2"), 1.0 + GATHER_S)
    assert watcher.take(status("Pending", "c", name="w-3"), 1.01 + GATHER_S) is None, "too late to be of this message"
    watcher.take(status("Succeeded", "a", name="w-1"), 3.0)
    assert watcher.settles_at_s is None
    watcher.take(status("Failed", "b", name="w-2"), 4.0)
    assert watcher.settles_at_s is not None
    assert [state.phase for state in watcher.followed.values()] == ["Succeeded", "Failed"]
    assert watcher.is_ambiguous, "nobody said how many mappings listen"


def test_only_mappings_that_listen_can_have_started_it():
    """Other devices' workflows begin all the time."""
    watcher = started(listeners=(Listening("boiler"), Listening("audit")))
    assert watcher.take(status("Running", "a", mapping="press"), 1.0) is None
    watcher.take(status("Running", "b", mapping="boiler"), 1.0)
    watcher.take(status("Running", "c", mapping="audit", name="w-2"), 1.0)
    assert set(watcher.followed) == {"b", "c"}
    assert not watcher.is_ambiguous
    watcher.take(status("Running", "d", mapping="audit", name="w-3"), 1.0)
    assert watcher.is_ambiguous


def test_where_the_device_is_told_only_its_own_workflow_counts():
    """The same mapping starts workflows of a hundred other boilers."""
    device = "sensors/hall-1/boiler/7/workflow"
    watcher = started(listeners=(Listening("boiler", device),))
    assert watcher.device_topics == {device}
    assert watcher.take(status("Running", "other", name="w-9"), 1.0) is None
    assert watcher.take(status("Pending", "mine"), 1.0) is None, "not yet known to be this device's"
    assert watcher.take(status("Pending", "mine", topic=device), 1.1).phase == "Pending"
    assert watcher.take(status("Running", "mine"), 2.0).phase == "Running"
    assert watcher.take(status("Running", "mine", topic=device), 2.0) is None, "it is shown once"
    watcher.take(cleared(), 3.0)
    assert watcher.gone == {"mine"}
    assert set(watcher.followed) == {"mine"}


def test_an_end_waits_for_siblings():
    """A workflow that ends at once does not hide one that begins a moment later."""
    watcher = started()
    watcher.take(status("Succeeded", "a"), 1.0)
    assert watcher.settles_at_s == 1.0 + GATHER_S


def test_a_started_workflow_that_is_deleted_is_over():
    """As with a named one; one that is cleared after its end has ended well."""
    watcher = started()
    watcher.take(status("Running", "a", name="w-1"), 1.0)
    watcher.take(status("Succeeded", "b", name="w-2"), 1.0)
    watcher.take(cleared("w-2"), 2.0)
    assert watcher.settles_at_s is None
    watcher.take(cleared("w-1"), 2.0)
    assert watcher.settles_at_s is not None
    assert watcher.gone == {"a"}


def ended(finished, *, retain=False, phase="Failed"):
    """The end of a run, on the workflow's topic."""
    body = {"namespace": "factory", "workflowId": "w-1", "status": phase, "progress": "100%", "message": ""}
    details = {"uid": "u1", "bridge": "plant-1", "finishedAt": finished}
    return Message("plant", TOPIC, orjson.dumps(body | {"details": details}), 1, retain=retain)


def test_the_old_end_of_a_retried_workflow_is_not_the_new_one():
    """Neither as the broker retains it, nor when the bridge tells it once more."""
    named = NamedWorkflow(TOPIC, begins_anew=True)
    assert named.take(ended("14:00", retain=True), 1.0) is None
    assert named.take(ended("14:00"), 2.0) is None
    assert named.settles_at_s is None
    named.take(status("Running"), 3.0)
    assert named.settles_at_s is None
    named.take(ended("15:00"), 4.0)
    assert (named.settles_at_s, named.status.phase) == (4.0, "Failed")


def test_a_retried_workflow_may_end_before_it_was_seen_running():
    """States in between may be merged: another time of the end is a new end."""
    named = NamedWorkflow(TOPIC, begins_anew=True)
    named.take(ended("14:00", retain=True), 1.0)
    named.take(ended("15:00"), 2.0)
    assert named.settles_at_s == 2.0
    unseen = NamedWorkflow(TOPIC, begins_anew=True)
    unseen.take(ended("15:00"), 2.0)
    assert unseen.settles_at_s == 2.0
