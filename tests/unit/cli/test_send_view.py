"""What a person sees of a message's way."""

import io

import pytest
from rich.console import Console

from bridge.cli.views.plain_text import progress_bar
from bridge.cli.views.send import SendView
from bridge.cli.visit.request import Reply
from bridge.cli.visit.status_message import WorkflowStatus


def shown(*steps, terminal=False):
    """What a view writes while `steps` happen."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, soft_wrap=True, highlight=False, markup=False, width=80)
    with SendView(console) as view:
        for step in steps:
            step(view)
    return text.getvalue()


def progressed(phase, progress="0%", message=""):
    """A step."""
    return lambda view: view.progressed(WorkflowStatus("factory", "w-1", phase, progress, message))


def test_without_a_terminal_each_change_is_one_line():
    """A log of a script is not filled with repetitions, nor with control characters."""
    text = shown(
        lambda view: view.wait_for("waiting"),
        progressed("Running", "33%"),
        progressed("Running", "33%"),
        progressed("Failed", "66%", "failed at [reset] \x1b[2J"),
    )
    assert text.splitlines() == [
        "factory/w-1  Running    33%",
        "factory/w-1  Failed     66%  failed at [reset] \\x1b[2J",
    ]


def test_on_a_terminal_the_way_is_a_bar_and_the_end_a_line():
    """The line stays when the bar is gone."""
    text = shown(
        lambda view: view.wait_for("waiting"),
        progressed("Running", "50%"),
        progressed("Succeeded", "100%"),
        terminal=True,
    )
    assert "factory/w-1  Succeeded 100%" in text
    assert "\x1b[?25h" in text, "the cursor is shown again"


def test_a_refusal_is_told_with_its_reasons():
    """As many as fit; the rest is in the reply."""
    details = [{"pointer": f"/spec/{number}", "message": "unknown field"} for number in range(12)]
    text = shown(lambda view: view.replied(Reply({"error": "Invalid workflow definition", "details": details}, "400")))
    assert text.startswith("refused (400): Invalid workflow definition\n  /spec/0: unknown field\n")
    assert text.endswith("  /spec/9: unknown field\n  and 2 more, see the reply\n")


@pytest.mark.parametrize("details", [None, {"truncated": True}, [1, None, {}], "text"])
def test_odd_details_do_no_harm(details):
    """A reply may come from a bridge of another release."""
    text = shown(lambda view: view.replied(Reply({"error": "no", "details": details})))
    assert text == "refused: no\n"


@pytest.mark.parametrize(("percent", "full"), [(0, 0), (33, 6), (99, 19), (100, 20)])
def test_a_bar_is_full_only_at_the_end(percent, full):
    """99% does not look like 100%."""
    assert progress_bar(percent).count("━") == full
    assert len(progress_bar(percent)) == 20
