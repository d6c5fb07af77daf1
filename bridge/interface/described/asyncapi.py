"""Builds the AsyncAPI 3 document of the interface: every topic, its senders, and the reply addresses. Pure.

It describes the bridge's side: ``receive`` is what others send to it. `make generate` writes schemas/asyncapi.yaml;
`argo-bridge asyncapi` prints the document of one configuration. Any thread.

Source: AsyncAPI 3.0.0; its binding specifications for MQTT and AMQP 0-9-1.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.interface.described.asyncapi_components import (
    JSON,
    RECEIVED,
    RETAINED,
    SENT,
    TOLD,
    Part,
    camel,
    components,
    mapped_message,
    server,
)
from bridge.interface.described.asyncapi_model import ANY_BRIDGE, Described, MappedTopics, address_of
from bridge.interface.operations import SPECS, Operation

ASYNCAPI_VERSION = "3.0.0"
_ABOUT = (
    "Turns messages into Argo Workflows and reports their status. This document describes the bridge's side: clients "
    "send what the bridge receives. Everything is published at QoS 1; retained messages delivered on "
    "subscribing are ignored. In AMQP a channel's address is a routing key with `.` for `/`."
)
_PARAMETERS = {
    "namespace": "a Kubernetes namespace, one of argo.namespaces",
    "name": "name of a workflow",
    "bridge": "id of the bridge",
}


def document(described: Described) -> Part:
    """Return the AsyncAPI document, ready to be written as JSON or YAML."""
    builder = _Builder(described)
    builder.build()
    identity = {} if ANY_BRIDGE in described.topics.availability else {"id": _urn(described)}
    return {
        "asyncapi": ASYNCAPI_VERSION,
        **identity,
        "info": {"title": "argo-bridge", "version": described.version, "description": _ABOUT},
        "defaultContentType": JSON,
        "servers": {one.name: server(one, described) for one in described.servers},
        "channels": builder.channels,
        "operations": builder.operations,
        "components": components(described),
    }


def _urn(described: Described) -> str:
    return "urn:argo-bridge:" + described.topics.availability.split("/")[-2]


class _Builder:
    """Collects channels and operations.

    Attributes:
        channels: by identifier.
        operations: by identifier.
    """

    def __init__(self, described: Described) -> None:
        self._described = described
        self._topics = described.topics
        self.channels: Part = {}
        self.operations: Part = {}

    def build(self) -> None:
        """Add everything."""
        for operation in self._described.operations:
            self._requests(operation)
        self._status_updates()
        self._unrequested()
        self._notices("notice", self._described.notices)
        for mapping in self._described.mappings:
            self._mapping(mapping)

    def _requests(self, operation: Operation) -> None:
        name = camel(operation)
        asked, answered = [f"{name}Request", f"{name}CloudEvent"], [f"{name}Success", "error"]
        summary = SPECS[operation].meaning if operation in SPECS else "starts a workflow"
        address = f"{self._topics.prefix}/{operation.value}"
        self._channel(name, address, asked, f"requests: {operation.value}")
        self._channel(f"{name}In", f"{address}/{{namespace}}", asked, f"requests for one namespace: {operation.value}")
        self._channel(f"{name}Reply", None, answered, "the reply, if the request names a Response Topic")
        self._channel(
            f"{name}Response",
            self._topics.response(operation),
            answered,
            "the reply to a request without a Response Topic",
        )
        for channel in (name, f"{name}In"):
            self.operations[f"receive{channel[0].upper()}{channel[1:]}"] = {
                **self._operation(RECEIVED, channel, asked, summary),
                "reply": self._reply(f"{name}Reply", answered),
            }
        self._send(f"answer{name[0].upper()}{name[1:]}", f"{name}Response", answered, retained=False)

    def _status_updates(self) -> None:
        answered = ["statusUpdateSuccess", "error"]
        summary = "every status message of the bridge, and status updates from other systems"
        self._channel("status", self._topics.status_stream, ["status", "statusUpdate"], summary)
        self._send("sendStatus", "status", ["status"], retained=False)
        self._channel("statusReply", None, answered, "the reply, if the update names a Response Topic")
        self._channel(
            "statusResponse", self._topics.status_response, answered, "the reply to an update without a Response Topic"
        )
        self.operations["receiveStatusUpdate"] = {
            **self._operation(RECEIVED, "status", ["statusUpdate"], "receives another system's status of a workflow"),
            "reply": self._reply("statusReply", answered),
        }
        self._send("answerStatus", "statusResponse", answered, retained=False)

    def _unrequested(self) -> None:
        topics = self._topics
        for name, address, message, summary in (
            ("workflowStatus", topics.status_of("{namespace}", "{name}"), "status", "the last status of one workflow"),
            ("report", topics.report_of("{namespace}"), "report", TOLD["report"][1]),
            ("deadLetter", topics.dead_letter, "deadLetter", TOLD["deadLetter"][1]),
            ("availability", topics.availability, "availability", "whether the bridge is online"),
            ("state", topics.state, "state", TOLD["state"][1]),
        ):
            self._channel(name, address, [message], summary)
            self._send(f"send{name[0].upper()}{name[1:]}", name, [message], retained=message != "deadLetter")

    def _mapping(self, mapping: MappedTopics) -> None:
        # With a prefix, because a mapping may have any name, including that of another channel.
        message = mapped_message(mapping)
        for number, topic in enumerate(mapping.topics, 1):
            channel = f"mapping-{mapping.name}" + (f"-{number}" if number > 1 else "")
            address, meanings = address_of(topic)
            self._channel(channel, address, [message], f"messages for mapping {mapping.name}", meanings)
            if mapping.connection:
                self.channels[channel]["servers"] = [{"$ref": f"#/servers/{mapping.connection}"}]
            self.operations[f"receive-{channel}"] = self._operation(
                RECEIVED, channel, [message], f"starts a workflow with mapping {mapping.name}"
            )
        if mapping.status_topic:
            told = f"status-of-{mapping.name}"
            address, meanings = address_of(mapping.status_topic)
            self._channel(told, address, ["status"], "the newest workflow's status, for the device", meanings)
            self._send(f"send-{told}", told, ["status"], retained=True)
        self._notices(f"notice-of-{mapping.name}", mapping.notices)

    def _notices(self, name: str, topics: Sequence[str]) -> None:
        for number, topic in enumerate(topics, 1):
            told = f"{name}-{number}"
            address, meanings = address_of(topic)
            self._channel(told, address, ["status"], "the last status of finished workflows", meanings)
            self._send(f"send-{told}", told, ["status"], retained=False)

    def _channel(
        self,
        name: str,
        address: str | None,
        messages: Sequence[str],
        summary: str,
        meanings: dict[str, str] | None = None,
    ) -> None:
        channel: Part = {"address": address, "summary": summary}
        channel["messages"] = {one: {"$ref": f"#/components/messages/{one}"} for one in messages}
        parameters = self._parameters(address or "", meanings or {})
        if parameters:
            channel["parameters"] = parameters
        if address is not None and self._described.exchange:
            channel["bindings"] = {"$ref": "#/components/channelBindings/exchange"}
        self.channels[name] = channel

    def _parameters(self, address: str, meanings: dict[str, str]) -> Part:
        parameters: Part = {}
        for level in address.split("/"):
            name = level.strip("{}")
            if level == f"{{{name}}}":
                parameters[name] = {"description": meanings.get(name, _PARAMETERS.get(name, "one level"))}
        if "namespace" in parameters and "namespace" not in meanings and self._described.namespaces:
            parameters["namespace"]["enum"] = list(self._described.namespaces)
        return parameters

    def _send(self, name: str, channel: str, messages: Sequence[str], *, retained: bool) -> None:
        bindings = RETAINED if retained else SENT
        self.operations[name] = self._operation(bindings, channel, messages, self.channels[channel]["summary"])

    def _operation(self, bindings: str, channel: str, messages: Sequence[str], summary: str) -> Part:
        return {
            "action": "receive" if bindings == RECEIVED else "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{channel}/messages/{one}"} for one in messages],
            "bindings": {"$ref": f"#/components/operationBindings/{bindings}"},
        }

    def _reply(self, channel: str, messages: Sequence[str]) -> Part:
        return {
            "address": {"$ref": "#/components/replyAddresses/responseTopic"},
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{one}"} for one in messages],
        }
