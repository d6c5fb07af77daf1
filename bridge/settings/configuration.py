"""Loads a whole configuration: bridge.yaml, the environment, the mapping files, compiled and checked together.

Never raises because of the content of a file or variable, starts nothing and makes no network connection: a running
bridge loads a new configuration with this and keeps the old one if there are errors. Thread: whichever loads (the main
thread at start, the reloader's later).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from bridge.argo.manifests import template_workflow
from bridge.configfile.nodes import locate
from bridge.configfile.problems import Code, Position, Problem, Problems, Severity
from bridge.mapping.compiler import compile_mappings
from bridge.mapping.definition import MappingDefinition, read_definitions
from bridge.mapping.definition_checks import check_definitions, check_notices
from bridge.mapping.mapping_set import MappingSet
from bridge.settings.loading import load_settings
from bridge.settings.model import Settings
from bridge.validation.library import SchemaLibrary


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of loading a configuration.

    Attributes:
        settings: None if bridge.yaml or the environment is invalid.
        mappings: The definitions, in the order of the files; none unless `ok`.
        compiled: The same, compiled; none unless `ok`.
        problems: Everything found, by file, line and column.
    """

    settings: Settings | None
    mappings: tuple[MappingDefinition, ...]
    compiled: MappingSet
    problems: list[Problem]

    @property
    def ok(self) -> bool:
        """Whether it can be used: there are only warnings. Then `settings` is not None."""
        return all(problem.severity is Severity.WARNING for problem in self.problems)


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Load the configuration of a bridge.yaml; other paths in it are relative to its folder."""
    problems = Problems()
    read = load_settings(path, environ, problems)
    definitions = check_definitions(read_definitions(read.mapping_files, problems), read.context, problems)
    check_notices(definitions, read.context, problems)
    compiled, found = compile_mappings(definitions, template_workflow)
    problems.found.extend(found)
    if read.settings is not None:
        _check_workflows(definitions, compiled, read.settings.argo.version, problems)
    if problems.has_errors:
        return Loaded(read.settings, (), MappingSet(), problems.in_order())
    return Loaded(read.settings, definitions, compiled, problems.in_order())


def _check_workflows(
    definitions: Iterable[MappingDefinition], compiled: MappingSet, version: str, problems: Problems
) -> None:
    """Hold each mapping's workflow against the schema of ``argo.version``, or of the newest release where it is auto.

    With auto the cluster may run another release, so that findings only warn; before each submission the workflow is
    checked as what the cluster runs then.
    """
    library = SchemaLibrary()
    is_auto = version == "auto"
    chosen = library.newest if is_auto else library.for_version(version).version
    validator = library.validator(chosen)
    tell = problems.warning if is_auto else problems.error
    for definition in definitions:
        mapping = compiled.get(definition.name)
        if mapping is None:
            continue
        for finding in validator.problems(orjson.loads(mapping.plan.manifest)):
            text = f"{definition.label}: as Argo {chosen}: {finding.text}"
            tell(_workflow_position(definition, finding.path), Code.INVALID_WORKFLOW, text)


def _workflow_position(definition: MappingDefinition, path: tuple[str | int, ...]) -> Position:
    tree = definition.workflow.manifest_tree
    return locate(tree, *path) if tree is not None else definition.position("workflow", *path)
