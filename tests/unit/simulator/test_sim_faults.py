"""Which request meets which fault."""

from __future__ import annotations

from random import Random

import pytest

from bridge.simulator.faults import FaultKind, Faults, InjectedFault, fault_from_json


def test_a_fault_meets_what_it_matches_as_often_as_it_says() -> None:
    """Method, path, skip and count decide."""
    faults = Faults(Random(1))
    fault = faults.add(InjectedFault(FaultKind.CUT, method="POST", path="workflows/argo$", skip=1, count=2))
    create = ("POST", "/api/v1/workflows/argo")
    assert faults.pick("GET", create[1]) is None
    assert faults.pick("POST", "/api/v1/workflows/other") is None
    assert [faults.pick(*create) for _ in range(4)] == [None, fault, fault, None]
    assert fault.hits == 2


def test_the_first_fault_that_matches_is_taken() -> None:
    """A used-up one makes way for the next."""
    faults = Faults(Random(1))
    first = faults.add(InjectedFault(FaultKind.CUT, count=1))
    second = faults.add(InjectedFault(FaultKind.HANG))
    assert [faults.pick("GET", "/"), faults.pick("GET", "/")] == [first, second]
    faults.remove(second)
    assert faults.pick("GET", "/") is None


def test_probability_is_the_share_of_requests() -> None:
    """A third of many requests meet it, the same ones for the same seed."""

    def hits() -> list[bool]:
        faults = Faults(Random(7))
        faults.add(InjectedFault(FaultKind.CUT, probability=1 / 3))
        return [faults.pick("GET", "/") is not None for _ in range(3000)]

    assert hits() == hits()
    assert 900 < sum(hits()) < 1100


def test_faults_come_from_json() -> None:
    """Keys are those of the class; a typo is told."""
    fault = fault_from_json({"kind": "status", "status": 503, "accept": True})
    assert (fault.kind, fault.status, fault.accept) == (FaultKind.STATUS, 503, True)
    for bad in ({"kind": "nope"}, {"knd": "cut"}, [], {"kind": "cut", "pth": "x"}, {"kind": "cut", "path": "("}):
        with pytest.raises(ValueError, match=r"."):
            fault_from_json(bad)
