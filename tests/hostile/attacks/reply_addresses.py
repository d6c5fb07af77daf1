"""A client that may only ask wants the bridge, which may more, to publish for it."""

from __future__ import annotations

from bridge.interface.replies import TRIGGERED
from tests.hostile.attack import TRIGGER, Attack, Expectation, Group, Seen, counted, send
from tests.hostile.stage import BRIDGE_ID, PREFIX, Venue
from tests.support.bridge_files import TEMPLATE

REQUEST = {"submit": {"template": TEMPLATE}}
RESPONSE = f"{PREFIX}/response/trigger"
TOPICS = {
    "the availability of the bridge": f"argo/bridge/{BRIDGE_ID}/availability",
    "the state of the bridge": f"argo/bridge/{BRIDGE_ID}/state",
    "another bridge": "argo/bridge/other/state",
    "a report": f"{PREFIX}/report/factory",
    "the dead letters": f"{PREFIX}/dead-letter",
    "the status of a workflow": f"{PREFIX}/status/factory/inspect-1",
    "the stream of statuses": f"{PREFIX}/status",
    "the status topic of a device": "sensors/a/boiler/b/workflow",
    "the topic of a mapping": "sensors/a/boiler/b/temperature",
    "a request": TRIGGER,
    "the replies to another operation": f"{PREFIX}/response/delete",
    "250 levels": f"{PREFIX}/response/" + "a/" * 250,
    "60 KB": f"{PREFIX}/response/" + "a" * 60_000,
    "a topic of somebody else": "lights/hall-1/set",
    "wildcards": f"{PREFIX}/response/+/#",
    "the broker": "$SYS/broker/uptime",
}
QUEUES = {
    "a queue of somebody else": "victim",
    "the requests of the bridge": f"argo-bridge.{BRIDGE_ID}.requests",
    "the events of the bridge": f"argo-bridge.{BRIDGE_ID}.events",
    "a name that looks like a reply queue": "argo-bridge.a.replies.orders",
}


def _has_reply(topic: str, seen: Seen) -> bool:
    bodies = [one.body for one in seen.heard if one.topic == topic]
    return any(isinstance(body, dict) and body.get("status") == TRIGGERED for body in bodies)


def elsewhere(topic: str) -> Expectation:
    """The reply came without an address, with its Correlation Data and the reason; none came on `topic`."""

    def check(seen: Seen) -> bool:
        replies = [one.properties for one in seen.heard if one.topic == RESPONSE]
        told = [getattr(one, "headers", None) or dict(getattr(one, "UserProperty", ())) for one in replies]
        data = [getattr(one, "CorrelationData", b"") or getattr(one, "correlation_id", "") for one in replies]
        refused = [each for each, properties in zip(data, told, strict=True) if "reply-address-refused" in properties]
        return refused in ([b"c"], ["c"]) and not _has_reply(topic, seen)

    check.__name__ = f"a reply on {RESPONSE} that says why it is not on {topic[:60]}"
    return check


def _attack(name: str, address: str, venue: Venue) -> Attack:
    return Attack(
        f"a reply to {name}",
        send(TRIGGER, REQUEST, reply_to=address, correlation=b"c"),
        elsewhere(address),
        counted("replies_unsendable_total", cause="reply-address"),
        venues=frozenset({venue}),
        workflows=1,
    )


GROUP = Group(
    "reply addresses",
    (
        *(_attack(name, topic, Venue.ACL) for name, topic in TOPICS.items()),
        *(_attack(name, queue, Venue.RABBITMQ) for name, queue in QUEUES.items()),
        Attack(
            "22 replies to topics that the ACL forbids",
            lambda stage: [
                send(TRIGGER, REQUEST, reply_to=f"x/{number}", correlation=b"c")(stage) for number in range(22)
            ],
            counted("replies_unsendable_total", 22, cause="reply-address"),
            venues=frozenset({Venue.ACL}),
            workflows=22,
        ),
    ),
)
