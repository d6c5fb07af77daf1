"""Everything in the repository that is written by the program: schemas, and the references within pages.

`make generate` writes it all, after a change of keys, messages, operations, topics or commands. A test compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.figures import COMMITTED, facts, load, table
from bridge import __version__
from bridge.configfile.fields import Section
from bridge.configfile.writing import to_yaml
from bridge.interface.described.asyncapi import document
from bridge.interface.described.asyncapi_model import any_bridge
from bridge.interface.described.schemas import interface_schemas
from bridge.mapping.definition import MappingFile
from bridge.mapping.payloads import DECODERS
from bridge.settings.model import Settings
from tests.docs.command_pages import commands
from tests.docs.key_pages import json_schema, key_table
from tests.docs.operation_pages import dead_letter, operations, repeats, rights, submit
from tests.support.documents import ROOT

FOLDERS = ("schemas/config", "schemas/interface")
"""Hold nothing else."""
CONFIG_SCHEMAS = {
    "bridge.json": json_schema(Section(Settings), "argo-bridge: bridge.yaml"),
    "mappings.json": json_schema(Section(MappingFile), "argo-bridge: mapping file"),
}

INTERFACE_PARTS = {
    "submit": submit(),
    "repeats": repeats(),
    "operations": operations(),
    "dead letter": dead_letter(),
}


def generated() -> dict[Path, str]:
    """Return the text of each file."""
    described = to_yaml(document(any_bridge(__version__)))
    files = {f"schemas/config/{name}": _json(schema) for name, schema in CONFIG_SCHEMAS.items()}
    files |= {f"schemas/interface/{name}": _json(schema) for name, schema in interface_schemas().items()}
    files |= {
        "schemas/asyncapi.yaml": f"# Generated: make generate\n{described}",
        "docs/configuration.md": _page("configuration", {"keys": key_table(Section(Settings))}),
        "docs/mappings.md": _page("mappings", {"formats": "".join(_formats())}),
        "docs/interface.md": _page("interface", INTERFACE_PARTS),
        "docs/operations.md": _page("operations", {"rights": rights()}),
        "docs/commands.md": _page("commands", {"commands": commands()}),
        "docs/performance.md": _page("performance", {"table": _measured()}),
    }
    return {ROOT / name: text for name, text in files.items()}


def superfluous() -> set[Path]:
    """Return the files of what is no longer there."""
    return {path for folder in FOLDERS for path in (ROOT / folder).iterdir()} - generated().keys()


def _formats() -> Iterator[str]:
    yield "| format | `payload` is | refused |\n| --- | --- | --- |\n"
    for name, decoder in DECODERS.items():
        yield f"| `{name}` | {decoder.means} | {decoder.refuses} |\n"


def _measured() -> str:
    """Return the committed table of `make bench`."""
    machine, figures = load(COMMITTED)
    return f"{facts(machine)}.\n\n{table(figures)}"


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _page(name: str, parts: dict[str, str]) -> str:
    """The page with the text of each of its generated parts."""
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for part, text in parts.items():
        begin, end = f"<!-- {part}: begin -->\n", f"<!-- {part}: end -->\n"
        before, _, rest = page.partition(begin)
        page = before + begin + text + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    for path in superfluous():
        path.unlink()
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
