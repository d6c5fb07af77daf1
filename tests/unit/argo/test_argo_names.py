"""Names of workflows."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.names import workflow_name

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
EVENT = hashlib.sha256(b"event").digest()


@given(st.text(), st.binary(min_size=32, max_size=32))
def test_any_base_gives_a_name_that_kube_and_argo_take(base, event_id):
    """RFC 1123 label, no dot, at most 63 characters, its last 16 the event's."""
    name = workflow_name(base, event_id)
    assert LABEL.fullmatch(name)
    assert len(name) <= 63
    assert re.fullmatch(r".{1,46}-[a-z2-7]{16}", name)
    assert name == workflow_name(base, event_id)


@pytest.mark.parametrize(
    ("base", "start"),
    [
        ("inspect-boiler", "inspect-boiler-"),
        ("inspect-boiler-", "inspect-boiler-"),
        ("Über Hitzung.v2", "uber-hitzung-v2-"),
        ("a..b__c", "a-b-c-"),
        ("", "workflow-"),
        ("漢字", "workflow-"),
        ("x" * 45 + "-tail", "x" * 45 + "-"),
        ("x" * 60, "x" * 46 + "-"),
    ],
)
def test_a_base_stays_readable(base, start):
    """What can be kept of the base is kept; what cannot becomes one dash, never at an end."""
    name = workflow_name(base, EVENT)
    assert name == start + name[-16:]


def test_another_event_gives_another_name():
    """The hash comes from the event id alone."""
    other = hashlib.sha256(b"other").digest()
    assert workflow_name("a", EVENT)[-16:] != workflow_name("a", other)[-16:]
    assert workflow_name("a", EVENT)[-16:] == workflow_name("b", EVENT)[-16:]


@given(st.binary(min_size=10, max_size=32))
def test_the_hash_is_base32(event_id):
    """16 characters of RFC 4648 base32, in lower case: what earlier releases wrote for the same event."""
    assert workflow_name("a", event_id) == "a-" + base64.b32encode(event_id[:10]).decode().lower()
