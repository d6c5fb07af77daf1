"""The schemas of all known Argo releases, the choice among them for a cluster, and their compiled validators.

Reads the shipped files (``schemas/argo`` beside the package in a checkout, ``bridge/_schemas/argo`` in an installed
wheel) at first use, and keeps them. Writes nothing.

Thread: any; a lock guards the first use.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import orjson

from bridge.core.errors import ConfigError
from bridge.validation.generator import Schema
from bridge.validation.validator import WorkflowValidator
from bridge.validation.versions import parse_version, release_of, sort_key

_PACKAGE = Path(__file__).resolve().parent.parent


def schema_folder() -> Path:
    """Return the folder of the shipped schemas: in the wheel if there, otherwise in the checkout."""
    installed = _PACKAGE / "_schemas"
    return (installed if installed.is_dir() else _PACKAGE.parent / "schemas") / "argo"


@dataclass(frozen=True, slots=True)
class ChosenSchema:
    """The schema chosen for a cluster: `exact` if it is for exactly that version; otherwise `note` says why not."""

    version: str
    exact: bool
    note: str = ""


class SchemaLibrary:
    """The known schemas. Owns the loaded schemas and compiled validators; share one per process."""

    def __init__(self, folder: Path | None = None) -> None:
        """List the schemas of `folder` (default: the shipped ones).

        Raises:
            ConfigError: code ``no-schemas``; the installation is broken.
        """
        self._folder = folder or schema_folder()
        names = [path.stem for path in self._folder.glob("*.json")]
        self.versions = tuple(sorted((name for name in names if parse_version(name)), key=sort_key))
        if not self.versions:
            raise ConfigError(
                f"load schemas: there is none in {self._folder}", code="no-schemas", hint="install argo-bridge again"
            )
        self._lock = threading.Lock()
        self._schemas: dict[str, Schema] = {}
        self._validators: dict[str, WorkflowValidator] = {}

    @property
    def newest(self) -> str:
        """The newest known version."""
        return self.versions[-1]

    def for_version(self, text: str) -> ChosenSchema:
        """Choose the schema for the version that a cluster reports.

        The same version, else a known patch of the same minor release, else the nearest lower known release, else the
        oldest; a text that is not a version (a build of a branch) gets the newest. Never raises: a strange version must
        not stop the bridge.
        """
        wanted = parse_version(text)
        if wanted is None:
            shown = f'"{text[:40]}"' if text.strip() else "unknown"
            return ChosenSchema(
                self.newest, exact=False, note=f"Argo's version is {shown}; using the schema of {self.newest}"
            )
        plain = text.strip().removeprefix("v")
        same = [one for one in self.versions if sort_key(one)[:2] == wanted[:2]]
        if same:
            version = same[-1] if wanted[2] is None else _closest(same, wanted[2])
            if wanted[2] in (None, sort_key(version)[2]):
                return ChosenSchema(version, exact=True)
            return ChosenSchema(
                version, False, f"no schema of Argo {plain}; using that of {version}, the same minor release"
            )
        below = [one for one in self.versions if sort_key(one)[:2] < wanted[:2]]
        if below:
            return ChosenSchema(
                below[-1], False, f"no schema of Argo {plain}; using {below[-1]}, the nearest known below"
            )
        oldest = self.versions[0]
        return ChosenSchema(oldest, False, f"Argo {plain} is older than every known schema; using the oldest, {oldest}")

    def validator(self, version: str) -> WorkflowValidator:
        """Return the validator of one of `versions`, compiled at first use."""
        schema = self.schema(version)
        with self._lock:
            found = self._validators.get(version)
            if found is None:
                found = WorkflowValidator(schema, version, lambda name, field: self.releases_with(name, field, version))
                self._validators[version] = found
            return found

    def schema(self, version: str) -> Schema:
        """Return the schema of one of `versions`; do not change it."""
        if version not in self.versions:
            raise KeyError(version)
        with self._lock:
            found = self._schemas.get(version)
            if found is None:
                found = orjson.loads((self._folder / f"{version}.json").read_bytes())
                self._schemas[version] = found
            return found

    def releases_with(self, type_name: str, field: str, besides: str = "") -> tuple[str, ...]:
        """Return the releases (``3.6``) other than that of `besides` whose type has the field; reads every schema."""
        others = [one for one in self.versions if one != besides]
        having = [one for one in others if field in self.schema(one)["$defs"].get(type_name, {}).get("properties", {})]
        return tuple(dict.fromkeys(release_of(one) for one in having))


def _closest(same_release: list[str], patch: int) -> str:
    """Return the newest patch not above the wanted one, else the oldest of the release."""
    below = [one for one in same_release if sort_key(one)[2] <= patch]
    return below[-1] if below else same_release[0]
