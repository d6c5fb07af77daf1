"""The store: versions grow, history is bounded, lists lag."""

from __future__ import annotations

import pytest

from bridge.simulator.objects.store import ADDED, DELETED, FIRST_VERSION, MODIFIED, Store


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def workflow(name: str, **labels: str) -> dict[str, object]:
    """A workflow, new each time."""
    return {"metadata": {"name": name, "namespace": "argo", "uid": name, "labels": labels}, "status": {}}


def test_each_change_has_a_newer_version_and_an_event() -> None:
    """ADDED, MODIFIED and DELETED follow each other with growing versions, the last one with the last state."""
    store = Store(10, 0.0)
    store.put(workflow("a", x="1"))
    store.put(workflow("a", x="2"))
    store.remove("argo", "a")
    events = [store.log.at(position) for position in range(store.log.start, store.log.end)]
    assert [event.kind for event in events] == [ADDED, MODIFIED, DELETED]
    assert [event.version for event in events] == [FIRST_VERSION + 1, FIRST_VERSION + 2, FIRST_VERSION + 3]
    assert events[2].object["metadata"]["labels"] == {"x": "2"}
    assert events[1].labels_before == {"x": "1"}
    assert store.remove("argo", "a") is None


def test_versions_behind_the_window_are_gone() -> None:
    """History is bounded: an old version is refused, a version that is still covered is found."""
    store = Store(5, 0.0)
    for number in range(30):
        store.put(workflow(f"w{number}"))
    newest = store.version
    assert store.log.end - store.log.start <= 10
    assert store.log.at(store.log.after(newest - 3)).version == newest - 2
    assert store.log.after(newest) == store.log.end
    with pytest.raises(LookupError):
        store.log.after(FIRST_VERSION)


def test_lists_lag_and_catch_up() -> None:
    """A list does not see what has just happened, and reports the version that it does see."""
    clock = Clock()
    store = Store(100, 0.5, clock)
    store.put(workflow("a"))
    assert store.listed() == ({}, FIRST_VERSION)
    clock.now_s = 0.5
    store.put(workflow("b"))
    listed, version = store.listed()
    assert [name for _, name in listed] == ["a"]
    assert version == FIRST_VERSION + 1
    clock.now_s = 1.0
    assert len(store.listed()[0]) == 2


def test_a_lagging_list_survives_a_full_window() -> None:
    """Events that are forgotten before the list has seen them still reach the list."""
    clock = Clock()
    store = Store(3, 10.0, clock)
    for number in range(20):
        store.put(workflow(f"w{number}"))
    clock.now_s = 100.0
    assert len(store.listed()[0]) == 20


def test_compaction_refuses_every_older_version() -> None:
    """After compaction only the newest version can be resumed from."""
    store = Store(100, 0.0)
    store.put(workflow("a"))
    old = store.version
    store.put(workflow("b"))
    store.compact()
    with pytest.raises(LookupError):
        store.log.after(old)
    assert store.log.after(store.version) == store.log.end
    assert len(store.listed()[0]) == 2
