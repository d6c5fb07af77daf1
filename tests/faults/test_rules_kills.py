"""Rules over time in a bridge that is killed again and again: they fire as if nothing had happened."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.support.accounting import Account
from tests.support.bridge_files import NAMESPACE, TEMPLATE, BridgeFiles
from tests.support.bridge_process import BridgeProcess
from tests.support.faults_report import random_source
from tests.support.mosquitto import Mosquitto, MosquittoOptions, free_port
from tests.support.plain_client import PlainClient
from tests.support.rules_reference import Reference, Told
from tests.support.simulator_process import SimulatorProcess
from tests.support.transport_ends import wait_until

KILLS = 12
READINGS = 700
BROKER = MosquittoOptions(persistence=True, config=("max_queued_messages 0", "max_inflight_messages 1000"))
HOUR = 3600
RULES = {
    "rising": (
        ["when: payload.value > 60", "trigger: rising", "until: payload.value < 40"],
        Reference("rising", has_until=True),
    ),
    "falling": (["when: payload.value > 60", "trigger: falling"], Reference("falling")),
    "change": (["trigger: change", "of: payload.value", "deadband: 30"], Reference("change", deadband=30)),
    "count": (["when: payload.value > 60", "count: {at-least: 3, within: 1h}"], Reference(count=(3, HOUR))),
    "collect": (["collect: {count: 5, keep: all}"], Reference(collect=("count", 5, "all"))),
    "cooldown": (["when: payload.value > 60", "cooldown: 1h"], Reference(cooldown=HOUR)),
    "one-at-a-time": (["when: payload.value > 90", "concurrency: {max: 1}"], Reference()),
}
"""Those whose events follow from the order of the readings alone: what the bridge is told, and what it means."""
BY_TIME = {
    "lasting": ["when: payload.value > 60", "trigger: rising", "for: 2s"],
    "silence": ["trigger: silent", "for: 2s"],
    "quiet": ["collect: {quiet: 2s, keep: last}"],
}
"""Those that fire by time: once for a device that sends one high reading, and nothing after it."""


def mapping(name: str, topic: str, lines: list[str], number: str) -> str:
    """One mapping of a device's readings."""
    keys = "".join(f"    {line}\n" for line in [*lines, "key: topic.device"])
    return (
        f"  - name: {name}\n    topic: {topic}\n{keys}    workflow:\n      namespace: {NAMESPACE}\n"
        f"      template: {TEMPLATE}\n      parameters: {{n: '{number}', device: '${{key}}'}}\n"
    )


MAPPINGS = "".join(
    [
        *(
            mapping(
                name,
                "sensors/{device}/value",
                lines,
                "${readings.map(one, string(one.n))}" if name == "collect" else "${payload.n}",
            )
            for name, (lines, _) in RULES.items()
        ),
        *(
            mapping(name, "single/{device}/value", lines, "0" if name == "silence" else "${payload.n}")
            for name, lines in BY_TIME.items()
        ),
    ]
)


def expected(readings: list[tuple[str, int, int]]) -> dict[tuple[str, str], list[str]]:
    """The events of each rule and device, by the model: texts of the numbers of their readings."""
    events: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, (_, rule) in RULES.items():
        for device in {device for device, _, _ in readings}:
            model = Reference(
                rule.trigger, rule.for_s, rule.has_until, rule.deadband, rule.count, rule.collect, rule.cooldown
            )
            limit = {"collect": -1, "change": -1, "one-at-a-time": 90}.get(name, 60)
            for moment, (_, number, value) in enumerate(one for one in readings if one[0] == device):
                told = Told(number, moment // 100, value > limit, value < 40, float(value))
                for numbers in model.step(moment // 100, moment // 100, told, end=False):
                    texts = [str(one) for one in numbers]
                    events[name, device].append(
                        str(texts).replace("'", '"').replace(" ", "") if name == "collect" else texts[0]
                    )
    return events


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_rules_fire_as_if_nothing_had_happened(
    tmp_path: Path,
    start_mosquitto: Callable[[MosquittoOptions], Mosquitto],
    argo: SimulatorProcess,
    tell: Callable[..., None],
) -> None:
    """SIGKILL at any point: each rule's events are those of the model, none is missing, and none is one too many."""
    chance: random.Random = random_source("rules")
    broker = start_mosquitto(BROKER)
    files = BridgeFiles(tmp_path, broker.url, argo.url, "5", MAPPINGS, web_port=free_port())
    files.write()
    readings = [(chance.choice("abc"), number, chance.randrange(100)) for number in range(READINGS)]
    is_over = threading.Event()

    def publish() -> None:
        with PlainClient(broker.port, "devices") as client:
            for device in "xyz":
                client.publish(f"single/{device}/value", orjson.dumps({"n": 1, "value": 99}))
            for device, number, value in readings:
                client.publish(f"sensors/{device}/value", orjson.dumps({"n": number, "value": value}))
                is_over.wait(0.01)

    with BridgeProcess(files).start_ready() as bridge:
        publisher = threading.Thread(target=publish)
        publisher.start()
        for _ in range(KILLS):
            is_over.wait(chance.uniform(0.0, 0.7))  # the random point in its work; nothing is waited for
            bridge.kill()
            bridge.start_ready()
        publisher.join()
        wanted = expected(readings) | {
            (name, device): ["0" if name == "silence" else "1"] for name in BY_TIME for device in "xyz"
        }
        count = sum(len(events) for events in wanted.values())
        wait_until(lambda: len(argo.created) >= count, f"{count} workflows", 60)
        assert bridge.terminate() == 0
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in argo.created:
        place = (row["annotations"]["argo-bridge/mapping"], row["parameters"]["device"])
        found[place].append(row["parameters"]["n"])
    tell(Account(count, len(argo.created), 0, 0, (), (), (), ()), kills=KILLS)
    for place in wanted.keys() | found.keys():
        assert sorted(found[place]) == sorted(wanted[place]), place
