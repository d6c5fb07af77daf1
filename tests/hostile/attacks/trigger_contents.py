"""Trigger messages and operations that are JSON, and ask for what they may not."""

from __future__ import annotations

from typing import Any

from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, never, reply, send
from tests.hostile.stage import ATTACKER, MQTT, OPERATOR, PREFIX, Venue

ACL = frozenset({Venue.ACL})
SPEC = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "a"}}]}


def submit(**keys: Any) -> dict[str, Any]:
    """A trigger message for the template, with these keys under ``submit``."""
    return {"submit": {"template": "inspect"} | keys}


def manifest(metadata: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
    """A trigger message with a whole workflow."""
    return {"workflow": {"metadata": {"generateName": "attack-"} | (metadata or {}), "spec": SPEC} | keys}


def refused(name: str, body: Any, reason: str = "invalid-request", code: int = 400, *words: str) -> Attack:
    """A trigger message that is refused for this reason, with these words in the reply."""
    return Attack(name, send(TRIGGER, body), dead_letter(reason), reply(code, *words))


def asked(name: str, operation: str, body: Any, reason: str, code: int = 400) -> Attack:
    """An operation that is refused for this reason."""
    answer = reply(code, topic=f"{PREFIX}/response/{operation}")
    return Attack(name, send(f"{PREFIX}/{operation}", body, user=OPERATOR), dead_letter(reason), answer)


def harmless(name: str, topic: str, body: Any, user: str = ATTACKER) -> Attack:
    """A publish that the broker's rights end; without acknowledgement, as the broker may cut who asks for one."""
    return Attack(name, send(topic, body, user=user, qos=0), never(f"{PREFIX}/dead-letter"), venues=ACL)


NAMES = ["../../secrets", "a b", "A", "x" * 300, "a\nb", "-a", "a_b", "\u202ea", "a%2fb", "ä"]

GROUP = Group(
    "trigger-contents",
    (
        refused("nothing to run", {}),
        refused("two things to run", submit() | manifest()),
        refused("a forbidden namespace", submit() | {"namespace": "kube-system"}, "namespace-mismatch"),
        Attack(
            "a forbidden namespace in the topic",
            send(f"{PREFIX}/trigger/kube-system", submit(), user=OPERATOR),
            dead_letter("forbidden-namespace"),
            reply(403),
        ),
        Attack(
            "a forbidden namespace in the body alone",
            send(f"{PREFIX}/trigger", submit() | {"namespace": "kube-system"}, user=OPERATOR),
            dead_letter("forbidden-namespace"),
            reply(403),
        ),
        Attack(
            "a namespace that is a path",
            send(f"{PREFIX}/trigger", submit() | {"namespace": "../factory"}, user=OPERATOR),
            dead_letter("forbidden-namespace"),
            reply(403),
        ),
        refused(
            "an expression of Argo as a value", submit(parameters={"n": "{{=sprig.env('HOME')}}"}), "template-braces"
        ),
        refused(
            "an expression of Argo within a list", submit(parameters={"n": [["{{workflow.name}}"]]}), "template-braces"
        ),
        refused("null as a value", submit(parameters={"n": None})),
        refused("a list as parameters", submit(parameters=["n=1"])),
        refused("a label of Argo's", submit(labels={"workflows.argoproj.io/completed": "true"}), "invalid-workflow"),
        refused("an annotation of the bridge's", submit(annotations={"argo-bridge/event": "00"}), "invalid-workflow"),
        refused("a number as a label", submit(labels={"a": 1})),
        refused("a status", manifest(status={"phase": "Succeeded"}), "invalid-workflow"),
        refused("another namespace in the manifest", manifest({"namespace": "kube-system"}), "invalid-workflow"),
        refused("another kind", manifest(kind="Secret"), "invalid-workflow"),
        refused("a list as a workflow", {"workflow": [SPEC]}),
        refused("a workflow without a spec", {"workflow": {"metadata": {"generateName": "a-"}}}, "invalid-workflow"),
        refused(
            "a typo",
            manifest(spec=SPEC | {"entrypont": "main"}),
            "invalid-workflow",
            400,
            'did you mean \\"entrypoint\\"',
        ),
        refused("a number of 70 bits", manifest(spec=SPEC | {"priority": 2**70}), "invalid-workflow"),
        refused("a request id of 2 KiB", submit() | {"requestId": "x" * 2048}),
        refused("an object as an event id", submit() | {"eventId": {"a": 1}}),
        refused("a key of the prototype under submit", submit(__proto__={"serviceAccount": "admin"}), "unknown-key"),
        *(refused(f"the template name {name[:20]!r}", {"submit": {"template": name}}, "bad-name") for name in NAMES),
        asked("a workflow id that is a path", "terminate", {"workflowId": "../../workflow-templates/x"}, "bad-name"),
        asked("a workflow id that is a list", "stop", {"workflowId": ["a"]}, "invalid-request"),
        asked("an uid with a query", "get", {"workflowId": "a?fields=b"}, "bad-name"),
        Attack(
            "a page from nowhere",
            send(f"{PREFIX}/list", {"continue": "\u0000" * 100}, user=OPERATOR),
            reply(400, topic=f"{PREFIX}/response/list"),
        ),
        asked("more than there may be", "list", {"limit": 10**30}, "invalid-request"),
        asked("an option of another operation misspelt", "delete", {"workflowId": "a", "forse": True}, "unknown-key"),
        asked(
            "an operation in a namespace that may not be",
            "delete",
            {"namespace": "x", "workflowId": "a"},
            "forbidden-namespace",
            403,
        ),
        Attack(
            "an unknown operation", send(f"{PREFIX}/explode", submit(), user=OPERATOR), never(f"{PREFIX}/dead-letter")
        ),
        Attack(
            "an operation with a third level",
            send(f"{TRIGGER}/now", submit(), user=OPERATOR),
            never(f"{PREFIX}/dead-letter"),
        ),
        harmless("a device that triggers", TRIGGER, submit()),
        harmless("a device that deletes", f"{PREFIX}/delete", {"workflowId": "a"}),
        harmless("a device that says the bridge is offline", "argo/bridge/plant-1/availability", b"offline"),
        Attack("a topic of the broker's", send("$SYS/broker/uptime", b"x", user=OPERATOR, qos=0), venues=MQTT),
    ),
)
