"""Attacks, what each must lead to, and how a group of them is run.

To add an attack, add an entry to a group in `tests/hostile/attacks/` (each module there has one `GROUP`, found by
itself; a new module is a new group)::

    Attack("a trailing comma", send(TRIGGER, b'{"a": 1,}'), dead_letter("invalid-json"), reply(400)),

The second argument is what is done: `send(...)`, or any function that takes the stage and may also check what it
likes. All further ones are what must come of it, within a generous time. What no attack may do is checked for all of
them: start workflows (`workflows=1` says how many one should), cut the link to the broker (`cuts_link=True`), end or
crash the bridge, meet an unexpected error, take much CPU time (`cpu_s`), memory (`memory_mib`) or log. After each, a
normal event must go all the way. `HOSTILE="a trailing comma" pytest tests/hostile` runs one attack alone.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.hostile.stage import EVERYWHERE, LINE_CONTROL, NAMESPACE, PREFIX, WITHIN_S, Heard, Stage, Venue
from tests.support.transport_ends import wait_until

TRIGGER = f"{PREFIX}/trigger/{NAMESPACE}"
LOG_BYTES = 64 * 1024
ONLY = os.environ.get("HOSTILE", "")


class Seen:
    """What became visible since an attack began."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._heard = len(stage.heard)
        self._figures = stage.metrics()
        self._log = stage.bridge.log_path.stat().st_size
        self._started = len(stage.started())
        self._cpu_s, self._pid = stage.bridge.cpu_s, stage.bridge.pid
        self._peak_kib = stage.bridge.peak_kib

    @property
    def heard(self) -> list[Heard]:
        """Every message that the auditor heard."""
        return self._stage.heard[self._heard :]

    @property
    def log(self) -> str:
        """What the bridge wrote to its log."""
        with self._stage.bridge.log_path.open("rb") as log:
            log.seek(self._log)
            return log.read().decode(errors="replace")

    def rise(self, name: str, **labels: str) -> float:
        """By how much a figure rose, summed over the labels that are not given."""
        now = self._stage.metrics()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]

        def total(figures: dict[str, float]) -> float:
            found = (value for key, value in figures.items() if key.partition("{")[0] == name)
            if wanted:
                found = (v for k, v in figures.items() if k.startswith(name + "{") and all(w in k for w in wanted))
            return sum(found)

        return total(now) - total(self._figures)

    @property
    def workflows(self) -> int:
        """How many workflows were started, normal events left out."""
        return len(self._stage.started()) - self._started

    def harm(self, attack: Attack) -> Iterator[str]:
        """What the attack did that none may do."""
        bridge = self._stage.bridge
        if bridge.pid != self._pid:
            yield "the bridge was started again"
            return
        if self.workflows != attack.workflows:
            yield f"{self.workflows} workflows, not {attack.workflows}"
        if errors := self.rise("internal_errors_total"):
            yield f"{errors:.0f} unexpected errors"
        if not attack.cuts_link and (lost := self.rise("disconnects_total")):
            yield f"the link was lost {lost:.0f} times"
        if (cpu_s := bridge.cpu_s - self._cpu_s) > attack.cpu_s:
            yield f"{cpu_s:.1f} s of CPU"
        if (grown_mib := (bridge.peak_kib - self._peak_kib) / 1024) > attack.memory_mib:
            yield f"{grown_mib:.0f} MiB more memory"
        if (written := len(self.log)) > LOG_BYTES:
            yield f"{written} bytes of log"


Expectation = Callable[[Seen], object]
"""Truthy once it is met; its ``__name__`` says what it waits for."""


class Attack:
    """One attack.

    name: unique, in words.
    act: what is done.
    expected: what must come of it.
    venues: where it is tried.
    workflows: how many workflows it starts.
    cuts_link: whether the link to the broker may be lost by it.
    cpu_s: how much CPU time the bridge may take for it, a normal event included.
    memory_mib: by how much the bridge's peak memory may rise.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[Stage], object],
        *expected: Expectation,
        venues: frozenset[Venue] = EVERYWHERE,
        workflows: int = 0,
        cuts_link: bool = False,
        cpu_s: float = 3.0,
        memory_mib: float = 64.0,
    ) -> None:
        self.name, self.act, self.expected, self.venues = name, act, expected, venues
        self.workflows, self.cuts_link, self.cpu_s, self.memory_mib = workflows, cuts_link, cpu_s, memory_mib

    def run(self, stage: Stage) -> None:
        """Attack, check what came of it, and see a normal event work.

        Raises:
            AssertionError: It harmed, or was not answered as it must be.
        """
        seen = Seen(stage)
        self.act(stage)
        stage.normal_event()
        for expectation in (*self.expected, _starts(self.workflows)):
            name = getattr(expectation, "__name__", repr(expectation))
            wait_until(lambda check=expectation: check(seen), f"{name}; log:\n{seen.log[-1500:]}", WITHIN_S, 0.02)
        harm = list(seen.harm(self))
        assert not harm, harm


def _starts(count: int) -> Expectation:
    def check(seen: Seen) -> bool:
        return seen.workflows >= count

    check.__name__ = f"{count} workflows"
    return check


@dataclass(frozen=True)
class Group:
    """Attacks that share a configuration and a restart.

    name: in ids of tests.
    attacks: in this order.
    mappings: items of a mapping file that they need, as `spine.mapping` makes them; on the stage for all groups.
    more: further top-level lines of bridge.yaml, for this group alone.
    outlasts: what it leaves in the spool runs later, by design, so it has a stage of its own.
    """

    name: str
    attacks: tuple[Attack, ...]
    mappings: str = ""
    more: str = ""
    outlasts: bool = False

    def chosen(self, venue: Venue | None) -> Iterator[Attack]:
        """The attacks of a venue, or of all."""
        for attack in self.attacks:
            if ONLY in ("", attack.name) and (venue is None or venue in attack.venues):
                yield attack

    def run(self, stage: Stage) -> None:
        """Run every attack of this venue, then restart the bridge, then the broker.

        Raises:
            AssertionError: Names every attack that did harm.
        """
        stage.configure(self.more)
        failures: dict[str, str] = {}
        for attack in self.chosen(stage.venue):
            self._try(stage, attack, failures)
        for what, restart in (("bridge", stage.restart_bridge), ("broker", stage.restart_broker)):
            restart()
            try:
                stage.normal_event()
            except AssertionError as error:
                failures[f"after a restart of the {what}"] = str(error)
        assert not failures, "\n\n".join(f"== {name}: {text}" for name, text in failures.items())

    @staticmethod
    def _try(stage: Stage, attack: Attack, failures: dict[str, str]) -> None:
        try:
            attack.run(stage)
        except Exception as error:
            failures[attack.name] = f"{type(error).__name__}: {error}"
            stage.simulator.faults.clear()
            stage.argo.clear()
            if not stage.bridge.is_running:
                stage.restart_bridge()


def groups(venue: Venue | None = None, *, outlasts: bool | None = None) -> tuple[Group, ...]:
    """Every group in `tests/hostile/attacks` that has something for this venue, or for any; `outlasts`: only such."""
    import tests.hostile.attacks as package

    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = tuple(importlib.import_module(f"{package.__name__}.{name}").GROUP for name in modules)
    names = [attack.name for group in found for attack in group.attacks]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    assert ONLY == "" or ONLY in names, f"no attack is called {ONLY}"
    return tuple(group for group in found if any(group.chosen(venue)) and outlasts in (None, group.outlasts))


# -- what is done ------------------------------------------------------------------------------------------------------


def send(topic: str, body: Any, *, user: str = LINE_CONTROL, times: int = 1, **keys: Any) -> Callable[[Stage], None]:
    """Publish; bytes go as they are, anything else as JSON; `keys` as `Stage.publish` has them."""

    def act(stage: Stage) -> None:
        for _ in range(times):
            stage.publish(user, topic, body, **keys)

    return act


# -- what must come of it ----------------------------------------------------------------------------------------------


def dead_letter(reason: str, count: int = 1) -> Expectation:
    """`count` messages were dead-lettered for this reason; repeats of one that is told count too."""
    return counted("dead_letters_total", count, reason=reason)


def counted(name: str, count: int = 1, **labels: str) -> Expectation:
    """A figure rose by `count`."""

    def check(seen: Seen) -> bool:
        return seen.rise(name, **labels) == count

    check.__name__ = f"{name}{labels or ''} rises by {count}"
    return check


def reply(code: int, *words: str, topic: str = f"{PREFIX}/response/trigger") -> Expectation:
    """A reply came to `topic`, with this code (MQTT 5.0 and AMQP) and every word in its text."""

    def check(seen: Seen) -> bool:
        return any(_is_reply(one, code, words) for one in seen.heard if one.topic == topic)

    check.__name__ = f"reply {code} {words} on {topic}"
    return check


def _is_reply(one: Heard, code: int, words: tuple[str, ...]) -> bool:
    told = getattr(one.properties, "headers", None) or dict(getattr(one.properties, "UserProperty", ()))
    text = one.payload.decode(errors="replace")
    has_code = str(told["code"]) == str(code) if "code" in told else ('"error"' in text) == (code >= 400)
    return has_code and all(word in text for word in words)


def skipped(cause: str, count: int = 1) -> Expectation:
    """`count` messages were skipped for this cause."""
    return counted("messages_skipped_total", count, cause=cause)


def logged(*words: str) -> Expectation:
    """One line of the log has all these words."""

    def check(seen: Seen) -> bool:
        return any(all(word in line for word in words) for line in seen.log.splitlines())

    check.__name__ = f"logged {words}"
    return check


def never(topic: str) -> Expectation:
    """Nothing was published on `topic`."""

    def check(seen: Seen) -> bool:
        return not any(one.topic == topic for one in seen.heard)

    check.__name__ = f"nothing on {topic}"
    return check


def not_said(word: str) -> Expectation:
    """Neither a message nor the log has this word, a secret for example."""

    def check(seen: Seen) -> bool:
        return word not in seen.log and not any(word.encode() in one.payload for one in seen.heard)

    check.__name__ = "a word that must not be said"
    return check
