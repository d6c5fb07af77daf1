"""Reads a file with one workflow, for commands that send it. Thread: the command's main thread."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bridge.configfile import kubernetes_yaml
from bridge.configfile.nodes import MapNode, plain
from bridge.configfile.problems import Problems
from bridge.core.errors import ConfigError


def read_manifest(name: str) -> dict[str, Any]:
    """Return the manifest in a file (``-``: standard input), YAML or JSON, parsed as Argo parses it.

    Raises:
        ConfigError: it cannot be read, or does not contain exactly one manifest.
    """
    shown = "<stdin>" if name == "-" else name
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"read {shown}: {error.strerror}", code="unreadable-file") from error
    problems = Problems()
    documents = kubernetes_yaml.read_manifests(data, shown, problems)
    for problem in problems.in_order():
        raise ConfigError(f"{problem.position}: {problem.message}", code=problem.code)
    manifests = [document for document in documents if isinstance(document, MapNode)]
    if len(manifests) != 1 or len(documents) != 1:
        text = f"read {shown}: expected one workflow, found {len(documents)} documents"
        raise ConfigError(text, code="bad-manifest", hint="put the workflow into its own file")
    manifest: dict[str, Any] = plain(manifests[0])
    return manifest
