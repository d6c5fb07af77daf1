"""Report files are written, bounded, and never make things worse."""

import json
from pathlib import Path

from bridge.core.report import MAX_REPORTS, ReportWriter


def test_a_report_tells_the_error(tmp_path: Path) -> None:
    """The traceback, the place and the facts are in the file."""
    try:
        raise ValueError("boom")
    except ValueError as error:
        path = ReportWriter(tmp_path / "reports").write("ingest", error, 1000.0, topic="a/b")
    assert path is not None
    body = json.loads(path.read_text())
    assert "ValueError: boom" in body["error"]
    assert body["topic"] == "a/b"


def test_reports_are_bounded(tmp_path: Path) -> None:
    """The oldest give way."""
    writer = ReportWriter(tmp_path)
    for second in range(MAX_REPORTS + 5):
        writer.write("x", RuntimeError("again"), 1_700_000_000.0 + second)
    assert len(list(tmp_path.iterdir())) == MAX_REPORTS


def test_an_unwritable_folder_is_no_error(tmp_path: Path) -> None:
    """Where nothing can be written, nothing is raised."""
    (tmp_path / "file").write_text("in the way")
    assert ReportWriter(tmp_path / "file" / "sub").write("x", RuntimeError("boom"), 0.0) is None
