"""Argo's version numbers: parsing, order and ranges of releases. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"^v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:[-+].*)?$")


def parse_version(text: str) -> tuple[int, int, int | None] | None:
    """Parse ``v4.1.2``, ``4.1.2-rc1+dirty`` or ``4.1`` into (major, minor, patch or None); None if not a version."""
    match = _VERSION.match(text.strip())
    return None if match is None else (int(match[1]), int(match[2]), None if match[3] is None else int(match[3]))


def release_of(version: str) -> str:
    """Return the minor release of a version: ``4.1`` for ``4.1.2``."""
    return ".".join(version.split(".")[:2])


def sort_key(version: str) -> tuple[int, ...]:
    """Sort key that orders versions by number, not by text: 3.9 comes before 3.10."""
    major, minor, patch = parse_version(version) or (0, 0, 0)
    return major, minor, patch or 0


@dataclass(frozen=True, slots=True)
class Releases:
    """A range of minor releases, both ends included; "" leaves an end open."""

    first: str = ""
    last: str = ""

    def cover(self, version: str) -> bool:
        """Whether the range includes the release of `version`."""
        release = sort_key(version)[:2]
        after = not self.first or release >= sort_key(self.first)[:2]
        return after and (not self.last or release <= sort_key(self.last)[:2])


ALL = Releases()


def since(release: str) -> Releases:
    """That release and every later one."""
    return Releases(first=release)


def until(release: str) -> Releases:
    """That release and every earlier one."""
    return Releases(last=release)
