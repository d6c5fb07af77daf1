"""Writes plain values as YAML in block style, quoted wherever some version of YAML might not read them as text.

Writes only what JSON has: no anchors, no tags. Pure; any thread.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

# Words that some version of YAML reads as something else, such as "no"; numbers do not begin with a letter.
_NOT_TEXT = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "infinity"])
_PLAIN = re.compile(r"[A-Za-z$][A-Za-z0-9_$]*(?:[-./ ][A-Za-z0-9_$(]+[,;)]{0,2})*")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the signature of PyYAML
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    is_plain = len(value) < 400 and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if is_plain else '"')


_Dumper.add_representer(str, _text)


def to_yaml(value: Any) -> str:
    """Return `value` as a document: objects with text keys, lists, texts, numbers, booleans and None."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31)
