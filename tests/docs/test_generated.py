"""What the program writes into the repository is what it would write now. `make generate` after a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.generated import generated, superfluous
from tests.support.documents import ROOT

FILES = generated()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_generated_file_is_what_the_program_declares(path: Path) -> None:
    """Schemas, the AsyncAPI document, and the references of keys, operations and commands."""
    assert path.read_text(encoding="utf-8") == FILES[path], "stale: make generate"


def test_nothing_is_described_that_there_is_not() -> None:
    """A schema of something that was removed is removed too."""
    assert superfluous() == set()
