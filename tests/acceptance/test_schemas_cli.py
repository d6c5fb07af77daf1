"""`argo-bridge schemas` as people run it: generate, list, diff."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

# A reference of no release, so the declared corrections do not fit it.
FOREIGN = "# Field Reference\n## Thing\nx\n# External Fields\n"


def schemas(*arguments):
    """Run the verb."""
    command = [sys.executable, "-m", "bridge.cli.main", "schemas", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_list_names_every_known_release():
    """Oldest first, the newest marked."""
    code, out, _ = schemas("list")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["3.5.15", "3.6.19", "3.7.18", "4.0.10", "4.1.2"]
    assert [line for line in lines if "newest" in line] == [lines[-1]]


def test_diff_tells_what_changed_between_two_releases():
    """A minor means its newest known patch."""
    code, out, notes = schemas("diff", "3.7", "v4.0.10")
    assert code == 0
    assert "- Synchronization.mutex: Mutex" in out.splitlines()
    assert "+ PluginArtifact" in out.splitlines()
    assert notes.startswith("3.7.18 to 4.0.10: ")
    assert schemas("diff", "4.1", "4.1")[:2] == (0, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", "3.7", "9.9"],
        ["diff", "4.1"],
        [],
        ["nonsense"],
        ["generate", "x", "--argo-version", "4.1"],
        ["generate", "x"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    """Also a version without a patch: a schema belongs to one version."""
    code, out, notes = schemas(*arguments)
    assert (code, out) == (2, "")
    assert notes


@pytest.mark.parametrize("text", ["", "no reference\n", FOREIGN])
def test_a_reference_that_does_not_fit_is_refused_and_nothing_is_written(text, tmp_path):
    """Every correction that does not apply is listed."""
    source, target = tmp_path / "fields.md", tmp_path / "out.json"
    source.write_text(text)
    code, _, notes = schemas("generate", source, "--argo-version", "4.1.2", "-o", target)
    assert code == 1
    assert notes
    assert not target.exists()
    assert text is not FOREIGN or "SPECIAL_TYPES IntOrString: the type is not in the reference" in notes


@pytest.mark.parametrize("source", ["/nonexistent/fields.md", "http://127.0.0.1:1/fields/"])
def test_a_source_that_cannot_be_read_is_said(source):
    """One line, no traceback."""
    code, _, notes = schemas("generate", source, "--argo-version", "4.1.2")
    assert code == 1
    assert len(notes.splitlines()) == 1


def test_a_file_and_a_url_make_the_checked_in_schema(tmp_path, argo_reference):
    """The whole way, from Argo's reference to the file that is shipped."""
    text, shipped = argo_reference("4.1.2")
    (tmp_path / "fields.md").write_text(text, encoding="utf-8")
    target = tmp_path / "4.1.2.json"
    code, _, notes = schemas("generate", tmp_path / "fields.md", "--argo-version", "v4.1.2", "-o", target)
    assert (code, target.read_bytes()) == (0, shipped), notes
    with Serving(tmp_path) as url:
        code, out, _ = schemas("generate", f"{url}/fields.md", "--argo-version", "4.1.2")
    assert code == 0
    assert json.loads(out) == json.loads(shipped)


@pytest.fixture
def argo_reference():
    """Argo's own reference of a version and the shipped schema, where they are beside this clone."""
    root = Path(__file__).resolve().parents[2]

    def read(version):
        path = root.parent / "shared" / "argo" / f"v{version}" / "fields.md"
        if not path.is_file():
            pytest.skip(f"Argo's field reference is not beside this clone ({path})")
        return path.read_text(encoding="utf-8"), (root / "schemas" / "argo" / f"{version}.json").read_bytes()

    return read


class Serving:
    """Serves a folder on a free port of this machine while it is entered."""

    def __init__(self, folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(folder))

            def log_message(self, *arguments):
                """Keep the test's output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
