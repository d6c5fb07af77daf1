"""What people see of the replies to operations."""

import json

from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.views.operations import MAX_NODES, cut_note, reply_lines
from bridge.cli.views.plain_text import printable, short, shown_duration, shown_time, table
from bridge.interface.operations import Operation

NODES = {
    "w-1": {"name": "w-1", "displayName": "w-1", "type": "Steps", "templateName": "main", "phase": "Failed",
            "children": ["w-1-2"], "startedAt": "2026-11-24T14:00:00Z", "finishedAt": "2026-11-24T15:02:03Z"},
    "w-1-2": {"name": "w-1[0]", "displayName": "[0]", "type": "StepGroup", "phase": "Failed", "children": ["w-1-3"]},
    "w-1-3": {"name": "w-1[0].probe", "displayName": "probe", "type": "Pod", "templateName": "probe",
              "phase": "Failed", "message": "Error (exit code 3)", "children": ["w-1"]},
}  # fmt: skip
WORKFLOW = {
    "metadata": {"name": "w-1", "uid": "u-1", "creationTimestamp": "2026-11-24T14:00:00Z"},
    "spec": {"workflowTemplateRef": {"name": "inspect"}, "arguments": {"parameters": [{"name": "n", "value": "7"}]}},
    "status": {
        "phase": "Failed",
        "startedAt": "2026-11-24T14:00:00Z",
        "finishedAt": "2026-11-24T15:02:03Z",
        "outputs": {"parameters": [{"name": "result", "value": "bad\x1b"}]},
        "nodes": NODES,
    },
}
SUMMARY = {"namespace": "factory", "workflowId": "w-1", "status": "Failed", "progress": "1%", "message": "no oil"}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["2026-11-24T14:00:00Z", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["workflow", "status", "nodes", "spec", "arguments", "parameters", "name", "children", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def test_a_workflow_is_told_with_its_tree_of_steps():
    """Facts, parameters, outputs, and each node once, deeper ones further in."""
    body = {"status": "ok", "workflowId": "w-1", "workflow": WORKFLOW, "workflowStatus": SUMMARY}
    lines = reply_lines(Operation.GET, body, "factory")
    text = "\n".join(lines)
    for fact in ("workflow:   w-1", "status:     Failed", "message:    no oil", "template:   inspect", "  n = 7"):
        assert fact in text
    assert "duration:   1h02m" in text
    assert "  result = bad\\x1b" in text
    tree = lines[lines.index("nodes:") + 2 :]
    assert [line[2:].split()[0] for line in tree] == ["w-1", "[0]", "probe"]
    assert [len(line[2:]) - len(line[2:].lstrip()) for line in tree] == [0, 2, 4]
    assert tree[2].endswith("Error (exit code 3)")


def test_more_nodes_than_anybody_reads_are_counted():
    """The rest is in --json."""
    nodes = {f"n{number}": {"name": f"n{number}", "phase": "Running"} for number in range(MAX_NODES + 5)}
    lines = reply_lines(Operation.GET, {"workflow": {"status": {"nodes": nodes}}}, "factory")
    assert lines[-1] == "  and 5 more; --json shows them"


def test_templates_are_told_with_their_parameters():
    """In a table, or one whole."""
    listed = {"templates": [{"template": "inspect", "description": "looks", "parameters": [{"name": "n"}, "m"]}]}
    assert reply_lines(Operation.LIST_TEMPLATES, listed, "factory")[1].split() == ["inspect", "n,", "m", "looks"]
    spec = {"entrypoint": "main", "templates": [{"name": "main"}], "arguments": {"parameters": [{"name": "n"}]}}
    whole = {"template": "inspect", "manifest": {"spec": spec}}
    text = "\n".join(reply_lines(Operation.GET_TEMPLATE, whole, "factory"))
    assert "entrypoint: main" in text
    assert "  n = -" in text
    assert text.endswith("templates:\n  main")


def test_what_was_done_is_told_with_what_it_was_done_to():
    """The new workflow of a trigger, not its CronWorkflow; nothing where nothing is named."""
    triggered = {"status": "CronWorkflow triggered successfully", "workflowId": "w-2", "cron": "nightly"}
    assert reply_lines(Operation.TRIGGER_CRON, triggered, "lab") == ["CronWorkflow triggered successfully: lab/w-2"]
    suspended = {"status": "CronWorkflow suspended successfully", "cron": "nightly"}
    assert reply_lines(Operation.SUSPEND_CRON, suspended, "lab")[0].endswith(": lab/nightly")
    assert reply_lines(Operation.LINT, {"status": "Workflow is valid"}, "lab") == ["Workflow is valid"]
    assert reply_lines(Operation.LIST, {"workflows": []}, "lab") == ["no workflows"]


def test_what_was_cut_is_said():
    """Nobody takes a part for the whole."""
    assert "--json" in cut_note({"details": {"truncated": True}})
    assert cut_note({"continue": "abc"}).endswith("--continue abc")
    assert cut_note({"workflows": []}) == ""


@given(
    st.sampled_from(list(Operation)),
    st.dictionaries(
        st.sampled_from([*SUMMARY, "workflow", "workflows", "templates", "manifest", "workflowStatus", "details"]),
        anything,
    ),
)
def test_no_reply_breaks_the_view(operation, body):
    """It may come from a bridge of another release; nothing in it moves the cursor."""
    for line in [*reply_lines(operation, body, "factory"), cut_note(body)]:
        assert line.isprintable() or line == "", json.dumps(body)


@given(st.text())
def test_text_from_outside_is_harmless(text):
    """Whatever it was, it has one line and no control characters."""
    assert printable(text).isprintable()
    assert len(short(text, 10)) <= 10
    assert printable(text) == text or not text.isprintable()


def test_a_tables_columns_stand_under_each_other():
    """As wide as the widest cell, without blanks at the end."""
    assert table([("A", "B"), ("long", "x"), ("s", "")]) == ["A     B", "long  x", "s"]


def test_times_and_durations_are_short():
    """And a dash where there is none."""
    assert shown_time("2026-11-24T15:00:00+01:00") == "2026-11-24 14:00:00Z"
    assert [shown_time(one) for one in (None, "", "soon", 5)] == ["-"] * 4
    begun = "2026-11-24T14:00:00Z"
    ends = ("2026-11-24T14:00:05Z", "2026-11-24T14:01:05Z", "2026-11-25T16:01:00Z", "2026-11-24T13:00:00Z", "")
    assert [shown_duration(begun, end) for end in ends] == ["5s", "1m05s", "26h01m", "0s", "-"]
