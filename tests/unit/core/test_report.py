"""Report files are written, bounded, and never make things worse."""

import json
import os
import stat
from pathlib import Path

import pytest

from bridge.core.metrics import Metrics
from bridge.core.report import MAX_REPORTS, ErrorReports, ReportWriter
from tests.support.clock import FakeClock


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


def test_two_of_one_millisecond_are_two_reports(tmp_path: Path) -> None:
    """Each unexpected error has a file of its own, however close they come."""
    writer = ReportWriter(tmp_path)
    first, second = (writer.write("ingest", RuntimeError(text), 1000.0) for text in ("one", "two"))
    assert first != second
    assert len(list(tmp_path.iterdir())) == 2


def test_the_oldest_goes_first_in_1970_too(tmp_path: Path) -> None:
    """Names sort by time, whatever number of digits the time has."""
    writer = ReportWriter(tmp_path)
    for second in (9, 10, 1_700_000_000):
        writer.write("x", RuntimeError("again"), float(second))
    order = [json.loads(path.read_text())["time"] for path in sorted(tmp_path.iterdir())]
    assert order == sorted(order)


def test_text_that_is_not_unicode_is_reported_all_the_same(tmp_path: Path) -> None:
    """A topic that UTF-8 cannot hold may be what the report is about."""
    path = ReportWriter(tmp_path).write("ingest", RuntimeError("a\ud800"), 0.0, topic="t/\udfff")
    assert path is not None
    assert json.loads(path.read_text())["topic"] == "t/\udfff"


def test_a_report_is_for_the_bridges_user_alone(tmp_path: Path) -> None:
    """Its folder and the file, whatever the umask; a link that waits under its name is not written through."""
    writer = ReportWriter(tmp_path / "reports")
    old = os.umask(0)
    try:
        path = writer.write("ingest", ValueError("x"), 1.0)
    finally:
        os.umask(old)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (path.parent / path.name.replace("000000-", "000001-")).symlink_to(tmp_path / "victim")
    assert writer.write("ingest", ValueError("x"), 1.0) is None
    assert not (tmp_path / "victim").exists()


def test_what_is_unexpected_is_counted_reported_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One call does all three, and the line stands for the place that met it: each has a budget of its own."""
    metrics = Metrics()
    path = ErrorReports(tmp_path, metrics, FakeClock()).unexpected("ingest", RuntimeError("boom"), topic="a/b")
    assert path is not None
    assert json.loads(path.read_text())["topic"] == "a/b"
    assert metrics.value("internal_errors_total", where="ingest") == 1
    (line,) = caplog.records
    assert (line.pathname, vars(line)["topic"], vars(line)["action"]) == (__file__, "a/b", "ingest")
    assert str(path) in line.getMessage()
