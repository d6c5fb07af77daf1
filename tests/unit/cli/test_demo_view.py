"""How the demo's story looks."""

import io

import orjson
import pytest
from rich.console import Console

from bridge.cli.demo.story import Line, Story
from bridge.cli.demo.view import PlainView, ScreenView
from bridge.core.model import Message
from bridge.interface.topics import Topics

TOPICS = Topics("argo/workflows", "demo")


def test_plain_lines_have_the_time_and_line_up(capsys):
    """Readable in a log, and one line a thing."""
    with PlainView(["heading"], clock=lambda: 0.0) as view:
        view.tell([Line("arrives", "a/b 1"), Line("status", "factory/w Running 33%")])
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading == "heading"
    assert first[8:] == "  arrives   a/b 1"
    assert second[8:] == "  status    factory/w Running 33%"


def busy_story(workflows):
    """Six sensors, and as many workflows."""
    story = Story(TOPICS)
    for number in range(6):
        story.take(Message("b", f"sensors/hall-1/boiler/{number}/temperature", b"95", 1))
    for number in range(workflows):
        body = {
            "namespace": "factory",
            "workflowId": f"inspect-boiler-{number}",
            "status": "Failed",
            "progress": "50%",
            "message": "step [bold]failed",
            "details": {"uid": str(number), "mapping": "boiler-overheat"},
        }
        topic = TOPICS.status_of("factory", f"inspect-boiler-{number}")
        story.take(Message("b", topic, orjson.dumps(body), 1))
    return story


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("workflows", [0, 3, 40])
def test_a_picture_fits_the_terminal(width, height, workflows):
    """The newest workflows stay in sight, and the commands below them; nothing scrolls."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=width, height=height, color_system=None)
    commands = [f"command {number}" for number in range(9)]
    with ScreenView(busy_story(workflows), "title", lambda _width: commands, console) as view:
        view.tell([Line("warning", "w" * 300, is_bad=True)])
    lines = text.getvalue().rpartition("title")[2].removesuffix("\x1b[?25h").splitlines()
    assert len(lines) < height, "the cursor's line is free"
    assert all(len(line) <= width for line in lines)
    shown = "\n".join(lines)
    assert "command 8" in shown
    assert "wwww" in shown
    if workflows:
        assert f"inspect-boiler-{workflows - 1} " in shown
        assert "step [bold]fai" in shown
