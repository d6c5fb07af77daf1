"""A client that may start the operator's templates wants more: another account, another start, code of its own."""

from __future__ import annotations

from typing import Any

from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, reply, send
from tests.hostile.stage import DEVICE, OPERATOR, PREFIX
from tests.support.bridge_files import NAMESPACE, TEMPLATE
from tests.support.spine import mapping

CODE = "{{=1+1}}"


def _submit(title: str, reason: str, code: int, word: str, **keys: Any) -> Attack:
    body = {"submit": {"template": TEMPLATE} | keys}
    return Attack(title, send(TRIGGER, body), dead_letter(reason), reply(code, word))


def _operation(operation: str, **keys: Any) -> Attack:
    topic = f"{PREFIX}/{operation}/{NAMESPACE}"
    return Attack(
        f"code in {operation}",
        send(topic, {"workflowId": "w"} | keys, user=OPERATOR),
        dead_letter("template-braces"),
        reply(400, "contains {{", topic=f"{PREFIX}/response/{operation}"),
    )


GROUP = Group(
    "submit",
    (
        _submit("the account of an administrator", "submit-not-allowed", 403, "serviceAccount", serviceAccount="admin"),
        _submit("another entrypoint", "submit-not-allowed", 403, "entrypoint", entrypoint="drain"),
        _submit("a parameter that nobody listed", "submit-not-allowed", 403, "debug", parameters={"debug": 1}),
        _submit("code in a parameter", "template-braces", 400, "submit.parameters.n", parameters={"n": CODE}),
        _submit("code in the name of a parameter", "template-braces", 400, "submit.parameters", parameters={CODE: "n"}),
        _submit("code in an annotation", "template-braces", 400, "submit.annotations.a", annotations={"a": CODE}),
        _submit("code in a label", "template-braces", 400, "submit.labels.a", labels={"a": CODE}),
        _submit("code in a name", "template-braces", 400, "submit.name", name=CODE),
        _submit("code in an entrypoint", "template-braces", 400, "submit.entrypoint", entrypoint=CODE),
        Attack(
            "a whole workflow where only templates run",
            send(TRIGGER, {"workflow": {"metadata": {"finalizers": ["a/b"]}, "spec": {}}}),
            dead_letter("manifests-not-allowed"),
            reply(403),
        ),
        _operation("set", nodeFieldSelector="id=x", message=CODE),
        _operation("retry", parameters={"n": CODE}),
        Attack(
            "code in the topic of a sensor's message",
            send("sensors/code/{{=1-1}}", {"n": "x"}, user=DEVICE),
            dead_letter("template-braces"),
        ),
    ),
    mappings=mapping("codes", "sensors/code/{device}"),
    more="interface: {manifests: false, submit: {entrypoints: [main], parameters: [n]}}",
)
