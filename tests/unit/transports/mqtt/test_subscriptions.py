"""The session's subscriptions become what is wanted, whatever earlier runs left and brokers refuse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.transports.mqtt.options import FilterMemory
from bridge.transports.mqtt.subscriptions import Subscriptions

NAMES = st.frozensets(st.sampled_from(["a", "b/+", "c/#", "d"]))


def names(subscriptions: Subscriptions) -> tuple[list[str], list[str]]:
    """What changes() asks for."""
    subscribe, unsubscribe = subscriptions.changes()
    return [each.topic_filter for each in subscribe], unsubscribe


def test_stale_filters_go_and_wanted_ones_come() -> None:
    """On a resumed session known filters that are not wanted are unsubscribed, all wanted ones subscribed."""
    reported: list[frozenset[str]] = []
    subscriptions = Subscriptions(FilterMemory(frozenset({"old", "kept"}), reported.append))
    subscriptions.want(frozenset({"kept"}), frozenset({"new"}))
    subscriptions.connected(is_new_session=False)
    assert names(subscriptions) == (["kept", "new"], ["old"])
    assert reported == [{"old", "kept", "new"}], "remembered before it is subscribed, so that a crash forgets nothing"
    subscriptions.unsubscribing(1, ("old",))
    subscriptions.subscribing(2, ("kept", "new"))
    assert not subscriptions.is_settled
    subscriptions.unsuback(1)
    subscriptions.suback(2, (1, 1))
    assert subscriptions.is_settled
    assert reported[-1] == {"kept", "new"}
    assert subscriptions.problems == ()


def test_a_new_session_has_nothing_to_unsubscribe() -> None:
    """When the broker kept nothing, only what is wanted is subscribed."""
    subscriptions = Subscriptions(FilterMemory(frozenset({"old"})))
    subscriptions.want(frozenset({"a"}), frozenset())
    subscriptions.connected(is_new_session=True)
    assert names(subscriptions) == (["a"], [])


def test_refused_filters_are_named_and_tried_again() -> None:
    """A refusal is a problem with filter and reason until the broker grants it, at a reconnect or a change."""
    subscriptions = Subscriptions(FilterMemory())
    subscriptions.want(frozenset({"a", "secret"}), frozenset())
    subscriptions.connected(is_new_session=True)
    subscriptions.changes()
    subscriptions.subscribing(1, ("a", "secret"))
    subscriptions.suback(1, (1, 0x87))
    (problem,) = subscriptions.problems
    assert problem.code == "filter-refused"
    assert '"secret"' in problem.message
    assert "not authorized (0x87)" in problem.message
    subscriptions.want(frozenset({"a", "secret"}), frozenset())
    assert names(subscriptions) == (["secret"], [])
    subscriptions.subscribing(2, ("secret",))
    subscriptions.suback(2, (1,))
    assert subscriptions.problems == ()


def test_a_grant_of_qos_0_is_a_problem() -> None:
    """A broker that brings us down to QoS 0 would lose messages silently."""
    subscriptions = Subscriptions(FilterMemory())
    subscriptions.want(frozenset({"a"}), frozenset())
    subscriptions.connected(is_new_session=True)
    subscriptions.changes()
    subscriptions.subscribing(1, ("a",))
    subscriptions.suback(1, (0,))
    assert [problem.code for problem in subscriptions.problems] == ["filter-downgraded"]


def test_an_invalid_filter_is_refused_without_asking() -> None:
    """Sent to a broker it would end the connection, and again after each reconnect."""
    subscriptions = Subscriptions(FilterMemory())
    subscriptions.want(frozenset({"a/#/b", "fine"}), frozenset())
    subscriptions.connected(is_new_session=True)
    assert names(subscriptions) == (["fine"], [])
    assert [problem.code for problem in subscriptions.problems] == ["filter-refused"]


def test_a_filter_of_both_kinds_brings_retained_messages() -> None:
    """Wanted live and retained, it is subscribed once, with the retained messages."""
    subscriptions = Subscriptions(FilterMemory())
    subscriptions.want(frozenset({"a"}), frozenset({"a"}))
    subscriptions.connected(is_new_session=True)
    subscribe, _ = subscriptions.changes()
    assert subscribe == [("a", True)]


@given(known=NAMES, steps=st.lists(st.tuples(NAMES, NAMES, st.booleans()), min_size=1, max_size=6))
def test_a_session_ends_with_exactly_what_is_wanted(
    known: frozenset[str], steps: list[tuple[frozenset[str], frozenset[str], bool]]
) -> None:
    """After any changes and reconnects, a model broker's session has the wanted filters, and the memory knows them."""
    session = set(known)
    memory: list[frozenset[str]] = [known]
    subscriptions = Subscriptions(FilterMemory(known, memory.append))
    for number, (filters, retained, reconnect) in enumerate(steps):
        subscriptions.want(filters, retained)
        if reconnect or number == 0:
            subscriptions.connected(is_new_session=False)
        subscribe, unsubscribe = names(subscriptions)
        assert session <= memory[-1], "the memory covers the session at every moment"
        session -= set(unsubscribe)
        session |= set(subscribe)
        subscriptions.unsubscribing(2 * number + 1, tuple(unsubscribe))
        subscriptions.subscribing(2 * number + 2, tuple(subscribe))
        subscriptions.unsuback(2 * number + 1)
        subscriptions.suback(2 * number + 2, [1] * len(subscribe))
        assert session == filters | retained == memory[-1]
        assert subscriptions.is_settled


def test_it_is_not_settled_between_deciding_and_sending() -> None:
    """While changes are being remembered (a commit) the broker knows nothing of them: what is published then is lost.

    Race: another thread asks whether the connection is ready between `changes` and `subscribing`.
    """
    settled: list[bool] = []
    subscriptions = Subscriptions(FilterMemory(frozenset(), lambda _: settled.append(subscriptions.is_settled)))
    subscriptions.want(frozenset({"a/b"}), frozenset())
    subscriptions.connected(is_new_session=True)
    subscribe, _ = subscriptions.changes()
    assert settled == [False]
    assert not subscriptions.is_settled
    subscriptions.subscribing(7, tuple(one.topic_filter for one in subscribe))
    subscriptions.suback(7, [1])
    assert subscriptions.is_settled
