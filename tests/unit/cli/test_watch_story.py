"""What `watch` knows, and how it shows it."""

import io
import json

from rich.console import Console

from bridge.cli.views.watch import PlainWatch, ScreenWatch
from bridge.cli.views.watch_story import MAX_ENDED, WatchStory
from bridge.core.model import Message


def told(name, phase, *, retain=False, message="", **details):
    """A status message; "" for the phase clears the topic."""
    body = {"namespace": "factory", "workflowId": name, "status": phase, "progress": "50%", "message": message}
    payload = json.dumps(body | {"details": details}).encode() if phase else b""
    return Message("plant", f"argo/workflows/status/factory/{name}", payload, 1, retain=retain)


def lines(story, *messages):
    """What is told of messages, as lines."""
    changes = [story.take(message) for message in messages]
    return [change.line for change in changes if change]


def test_each_change_is_told_once():
    """The same state again is no news; what is gone is told if it was known."""
    story = WatchStory()
    assert lines(
        story,
        told("a", "Running", retain=True),
        told("a", "Running"),
        told("a", "Failed", message="no oil"),
        told("a", ""),
        told("a", ""),
        told("b", ""),
    ) == ["factory/a  Running    50%", "factory/a  Failed     50%  no oil", "factory/a  gone"]
    assert story.counts == {}


def test_what_is_no_status_is_passed_over():
    """Anybody may publish anything under the prefix."""
    assert lines(WatchStory(), Message("plant", "argo/workflows/status/a/b", b"garbage")) == []


def test_what_the_broker_forgot_meanwhile_is_gone():
    """After a reconnect it tells all that it retains; what it does not tell was cleared while nobody listened."""
    story = WatchStory()
    lines(story, told("a", "Running"), told("b", "Running"), told("c", "Running"))
    story.reconnected()
    lines(story, told("b", "Running", retain=True), told("c", ""))
    assert [change.line for change in story.confirmed()] == ["factory/a  gone"]
    assert story.counts == {"Running": 1}
    assert story.confirmed() == []


def test_what_runs_is_shown_first():
    """Then what waits, then what ended last; as many as there is room for."""
    story = WatchStory()
    lines(story, told("a", "Failed"), told("b", "Running"), told("c", "Pending"), told("d", "Succeeded"))
    assert [row.name for row in story.rows(9)] == ["b", "c", "d", "a"]
    assert [row.name for row in story.rows(1)] == ["b"]
    assert story.rows(-3) == []


def test_memory_is_bounded_by_what_runs():
    """A watch may go on for weeks."""
    story = WatchStory()
    lines(story, told("first", "Running"), *(told(f"w-{number}", "Succeeded") for number in range(MAX_ENDED + 5)))
    assert story.counts == {"Running": 1, "Succeeded": MAX_ENDED}
    assert "w-4" not in {row.name for row in story.rows(10_000)}


def test_without_a_terminal_it_is_a_line_a_change(capsys):
    """With the time; control characters are escaped; an outage is told once on standard error."""
    story = WatchStory()
    with PlainWatch(wall_s=lambda: 0.0) as view:
        view.changed([story.take(told("a", "Running", message="\x1b[2J"))])
        for problem in ("", "broker away", "broker away", ""):
            view.tick(problem)
    shown = capsys.readouterr()
    assert shown.out[8:] == "  factory/a  Running    50%  \\x1b[2J\n"
    assert shown.err.splitlines() == ["not connected: broker away", "connected again"]


def test_on_a_terminal_it_is_a_table_with_bars():
    """Title, a row a workflow with its time so far, the counts, and why nothing is heard."""
    story = WatchStory()
    lines(
        story,
        told("a", "Running", startedAt="1970-01-01T00:00:00Z"),
        told("b", "Failed", startedAt="1970-01-01T00:00:00Z", finishedAt="1970-01-01T00:00:03Z"),
    )
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100, height=20, color_system=None)
    with ScreenWatch(story, "workflows of plant-1", console, wall_s=lambda: 65.0) as view:
        view.changed([])
        view.tick("broker away")
    shown = text.getvalue()
    for words in ("workflows of plant-1", "factory/a", "━━━━━╺╺╺╺╺  50%", "1m05s", "3s", "Failed 1  Running 1"):
        assert words in shown
    assert "not connected: broker away" in shown
