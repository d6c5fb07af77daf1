"""Kubernetes' and Argo's rules for names and labels, as functions that return what is wrong, or "". Pure.

Source: Kubernetes apimachinery ``util/validation``; Argo ``pkg/apis/workflow/v1alpha1/validation_utils.go``.
"""

from __future__ import annotations

import re

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_TEMPLATE_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_PARAMETER_NAME = re.compile(r"[-a-zA-Z0-9_]+")

MAX_SUBDOMAIN = 253
MAX_LABEL = 63
MAX_TEMPLATE_NAME = 128

SUBDOMAIN_RULE = "lower case letters, digits, '-' and '.', beginning and ending with a letter or digit (DNS-1123)"
LABEL_RULE = "letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"


def object_name(name: str, limit: int) -> str:
    """Check an object's name of at most `limit` characters."""
    if len(name) > limit:
        return f"has {len(name)} characters, {limit} is the limit"
    return "" if _SUBDOMAIN.fullmatch(name) else f"must consist of {SUBDOMAIN_RULE}"


def name_prefix(prefix: str) -> str:
    """Check a generateName; it may end in '-' or '.', and Kubernetes cuts one that is too long."""
    return object_name(prefix.rstrip("-.") or "-", MAX_SUBDOMAIN)


def namespace_name(name: str) -> str:
    """Check a namespace."""
    if len(name) > MAX_LABEL:
        return f"has {len(name)} characters, {MAX_LABEL} is the limit"
    return "" if _DNS_LABEL.fullmatch(name) else "must consist of lower case letters, digits and '-' (DNS-1123 label)"


def label_key(key: str) -> str:
    """Check the key of a label or annotation."""
    prefix, slash, name = key.rpartition("/")
    if slash and object_name(prefix, MAX_SUBDOMAIN):
        return f"the part before '/' {object_name(prefix, MAX_SUBDOMAIN)}"
    return _label_word(name)


def label_value(value: str) -> str:
    """Check the value of a label; it may be empty."""
    return _label_word(value) if value else ""


def template_name(name: str) -> str:
    """Check the name of a template, step or task."""
    if len(name) > MAX_TEMPLATE_NAME:
        return f"has {len(name)} characters, {MAX_TEMPLATE_NAME} is the limit"
    rule = "must consist of letters, digits and '-', beginning with a letter or digit"
    return "" if _TEMPLATE_NAME.fullmatch(name) else rule


def parameter_name(name: str) -> str:
    """Check the name of a parameter or artifact."""
    return "" if _PARAMETER_NAME.fullmatch(name) else "must consist of letters, digits, '_' and '-'"


def _label_word(word: str) -> str:
    if len(word) > MAX_LABEL:
        return f"has {len(word)} characters, {MAX_LABEL} is the limit"
    return "" if _QUALIFIED.fullmatch(word) else f"must consist of {LABEL_RULE}"
