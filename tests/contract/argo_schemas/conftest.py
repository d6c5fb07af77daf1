"""Where Argo's own material is, when it is there: it is not ours to copy, so a clone that stands alone has none."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "argo"


@pytest.fixture
def reference_text():
    """Read Argo's field reference of a version, or skip."""

    def read(version: str) -> str:
        path = SHARED / f"v{version}" / "fields.md"
        if not path.is_file():
            pytest.skip(f"Argo's field reference of {version} is not beside this clone ({path})")
        return path.read_text(encoding="utf-8")

    return read


@pytest.fixture
def examples_folder():
    """Give the folder of Argo's own example manifests, or skip."""
    folder = SHARED / "examples"
    if not folder.is_dir():
        pytest.skip(f"Argo's example manifests are not beside this clone ({folder})")
    return folder
