"""What the bridge says: to where nobody lets it, over which others write, and by whose client id."""

from __future__ import annotations

from collections.abc import Callable

from tests.hostile.attack import TRIGGER, Attack, Group, counted, logged
from tests.hostile.stage import ATTACKER, BRIDGE_ID, MQTT, NAMESPACE, OPERATOR, PASSWORD, PREFIX, WITHIN_S, Stage, Venue
from tests.support.bridge_files import CONNECTION, TEMPLATE
from tests.support.plain_client import PlainClient
from tests.support.transport_ends import wait_until

ACL, ANONYMOUS = frozenset({Venue.ACL}), frozenset({Venue.ANONYMOUS})
FORBIDDEN = 25


def forbidden_replies(stage: Stage) -> None:
    """Ask again and again for replies where the bridge may not publish."""
    for number in range(FORBIDDEN):
        body = {"submit": {"template": TEMPLATE, "parameters": {"n": f"forbidden-{number}"}}}
        stage.publish(OPERATOR, TRIGGER, body, reply_to=f"x/{number}")


def last_status(stage: Stage) -> str:
    """The topic of the retained status of a workflow that runs for this."""
    stage.normal_event()
    topics = [one.topic for one in stage.heard if one.topic.startswith(f"{PREFIX}/status/{NAMESPACE}/") and one.payload]
    return topics[-1]


def overwritten(topic: Callable[[Stage], str], payload: bytes) -> Callable[[Stage], None]:
    """Retain something on a topic of the bridge, and see its own value come back."""

    def act(stage: Stage) -> None:
        place = topic(stage)
        wait_until(lambda: any(one.topic == place for one in stage.heard), f"something on {place}", WITHIN_S)
        mark = len(stage.heard)
        stage.publish(OPERATOR, place, payload, retain=True)

        def is_mended() -> bool:
            told = [one.payload for one in stage.heard[mark:] if one.topic == place]
            return payload in told and told[-1] != payload

        wait_until(is_mended, f"the bridge's own value on {place}", WITHIN_S)

    return act


def clean_start(stage: Stage) -> None:
    """Connect with the bridge's client id and a clean start, and leave again."""
    client_id = f"argo-bridge-{BRIDGE_ID}-{CONNECTION}"
    rival = PlainClient(stage.broker.port, client_id)
    if stage.venue is Venue.ACL:
        rival._client.username_pw_set(ATTACKER, PASSWORD)
    figure = f'connects_total{{connection="{CONNECTION}"}}'
    connects = stage.metrics()[figure]
    with rival:
        pass
    # What is published before the bridge is back has no session to wait in.
    wait_until(lambda: stage.metrics()[figure] > connects, "the bridge at the broker again", WITHIN_S)
    stage.bridge.await_ready(WITHIN_S)


def own(level: str) -> Callable[[Stage], str]:
    """A topic of the bridge itself."""
    return lambda _: f"argo/bridge/{BRIDGE_ID}/{level}"


GROUP = Group(
    "outgoing",
    (
        Attack(
            "replies to where the broker does not let the bridge publish",
            forbidden_replies,
            counted("replies_unsendable_total", FORBIDDEN, cause="refused"),
            venues=ACL,
            workflows=FORBIDDEN,
            cpu_s=10.0,
        ),
        Attack("a forged status", overwritten(last_status, b'{"status": "Failed"}'), venues=MQTT),
        Attack("a cleared status", overwritten(last_status, b""), venues=MQTT),
        Attack("a forged report", overwritten(lambda _: f"{PREFIX}/report/{NAMESPACE}", b"{}"), venues=MQTT),
        Attack("a forged availability", overwritten(own("availability"), b"offline"), venues=ANONYMOUS),
        Attack("a forged state", overwritten(own("state"), b'{"version": "0"}'), venues=ANONYMOUS),
        Attack(
            "another client with the bridge's client id and a clean start",
            clean_start,
            logged("session-lost"),
            venues=MQTT,
            cuts_link=True,
        ),
    ),
    more='interface: {response-topics: ["argo/workflows/response/#", "x/+"]}',
)
