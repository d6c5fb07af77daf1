"""What a key means beside another one."""

from __future__ import annotations

import pytest

from bridge.configfile.problems import Problems
from bridge.settings.loading import load_settings

REQUIRED = """\
bridge: {id: plant-1, data-dir: data}
connections:
  plant: {mqtt: {url: "mqtt://localhost"}}
argo: {url: "http://localhost:2746", namespaces: [factory]}
"""


@pytest.mark.parametrize(
    ("spool", "letters", "bytes_of_letters"),
    [("4GiB", "64MiB", 64 << 20), ("32MiB", "64MiB", 16 << 20), ("32MiB", "1MiB", 1 << 20)],
)
def test_dead_letters_never_fill_the_spool(tmp_path, spool, letters, bytes_of_letters):
    """They share its file: at most half of it is theirs, whatever their own bound says."""
    path = tmp_path / "bridge.yaml"
    path.write_text(f"{REQUIRED}spool: {{max-bytes: {spool}}}\ndead-letters: {{max-bytes: {letters}}}\n")
    loaded = load_settings(path, {}, Problems())
    assert loaded.settings is not None
    assert loaded.settings.spool.dead_max_bytes == bytes_of_letters
