"""Writes the machine-readable descriptions of the message interface into the repository.

`python -m bridge.cli.interface_files`, in the root of the repository, after a change of the interface; a test compares
the files with what the program declares. Not a verb of the command.
"""

from __future__ import annotations

import json
from pathlib import Path

from bridge import __version__
from bridge.configfile.writing import to_yaml
from bridge.interface.described.asyncapi import document
from bridge.interface.described.asyncapi_model import any_bridge
from bridge.interface.described.schemas import interface_schemas

HEADER = "# Generated: python -m bridge.cli.interface_files\n"


def interface_files() -> dict[str, str]:
    """Return the text of each file by its path within the folder of schemas."""
    files = {
        f"interface/{name}": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in interface_schemas().items()
    }
    return files | {"asyncapi.yaml": HEADER + to_yaml(document(any_bridge(__version__)))}


def write_interface_files(folder: Path) -> None:
    """Write them, and remove schemas of what is no longer there."""
    files = interface_files()
    (folder / "interface").mkdir(exist_ok=True)
    for path in (folder / "interface").glob("*.json"):
        if f"interface/{path.name}" not in files:
            path.unlink()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write_interface_files(Path("schemas"))
