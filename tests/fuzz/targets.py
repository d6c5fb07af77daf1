"""The parts of the product that take what others made, each with inputs for it and with what must hold."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import cbor2
import msgpack
import pika
import pika.exceptions

from bridge.argo.errors import classify, stream_error
from bridge.argo.sse import SseParser
from bridge.argo.watch import WatchFrame, read_frame
from bridge.core import topic_filter
from bridge.core.model import Message, MessageProperties
from bridge.interface.topics import published_problem
from bridge.pipeline.cluster import ClusterSchema
from bridge.settings.configuration import load
from bridge.status.seen.events import Listed
from bridge.transports.amqp.messages import Arrival, MessageReader, Origin
from bridge.transports.amqp.options import AmqpOptions, QueueKind
from bridge.transports.mqtt.packet_reader import PacketReader, ProtocolError
from bridge.transports.mqtt.publish_packet import parse_publish
from bridge.validation.library import SchemaLibrary
from tests.fuzz.engine import Budget, Target
from tests.fuzz.generators import NASTY_TEXTS, as_json, changed_often, many_keys, mutated, text, value, words_in
from tests.support.bridge_process import ROOT
from tests.support.documents import blocks
from tests.support.scripted_broker import publish as publish_packet
from tests.support.scripted_broker import text as mqtt_text
from tests.unit.pipeline.pipeline_fakes import FakeMapping, IngestBench
from tests.unit.status.status_fakes import NS, Bench, FakeBroker, FakeTransport, failed_nodes, workflow

PREFIX = "argo/workflows"
MAPPINGS = """\
mappings:
  - name: json
    topic: sensors/{site}/json/{device}
    payload: {schema: {type: object, properties: {s: {type: string, pattern: "^[a-z]+$"}, n: {maximum: 100}}}}
    when: payload.n > 1 && has(payload.s)
    event-id: payload.id
    workflow: {template: t, parameters: {n: "${payload.n}", all: "${payload}", s: "${payload.s + topic.site}"}}
    status: {topic: "sensors/{site}/json/{device}/status"}
  - name: text
    topic: sensors/{site}/text/{device}
    payload: {format: text}
    workflow: {template: t, parameters: {text: "${payload}", topic: "${message.topic}"}, annotations: {a: "${payload}"}}
  - name: number
    topic: sensors/{site}/number/{device}
    payload: {format: number}
    workflow: {template: t, name: "n-${topic.device}", parameters: {n: "${payload}"}}
  - name: csv
    topic: sensors/{site}/csv/{device}
    payload: {format: csv, charset: cp1252}
    when: payload.rows.exists(row, row.n > 1)
    workflow: {template: t, parameters: {n: "${payload.n}", all: "${payload.rows}"}}
  - name: cbor
    topic: sensors/{site}/cbor/{device}
    payload: {format: cbor}
    workflow: {template: t, parameters: {n: "${default(payload.n, 0)}", all: "${payload}"}}
  - name: msgpack
    topic: sensors/{site}/msgpack/{device}
    payload: {format: msgpack, encoding: gzip}
    workflow: {template: t, parameters: {n: "${default(payload.n, 0)}", all: "${payload}"}}
  - name: event
    topic: sensors/{site}/event/{device}
    payload: {format: cloudevents, on-unreadable: skip}
    workflow: {template: t, parameters: {id: "${payload.id}", data: "${default(payload.data, 0)}"}}
  - name: bytes
    topic: raw/#
    payload: {format: bytes}
    workflow: {template: t, parameters: {raw: "${payload}"}}
"""
BRIDGE = """\
bridge: {id: plant-1, data-dir: data}
connections: {plant: {mqtt: {url: "mqtt://localhost"}}}
argo: {url: "http://localhost:2746", namespaces: [factory, lab]}
mappings: [mappings.yaml]
"""
TEMPLATE = {"name": "main", "container": {"image": "a", "command": ["b"], "args": ["{{inputs.parameters.x}}"]}}
SPEC = {
    "entrypoint": "main",
    "serviceAccountName": "s",
    "templates": [TEMPLATE],
    "arguments": {"parameters": [{"name": "x"}]},
}
METADATA = {"name": "w", "labels": {"a": "b"}, "annotations": {"c": "d"}}
REQUESTS = (
    (
        "trigger",
        {"namespace": "factory", "workflow": {"metadata": METADATA, "spec": SPEC}, "requestId": 1, "eventId": "e"},
    ),
    (
        "trigger",
        {"submit": {"template": "t", "parameters": {"n": 1}, "labels": {"a": "b"}, "name": "n"}, "requestId": [1]},
    ),
    ("trigger", {"specversion": "1.0", "source": "s", "id": "i", "data": {"submit": {"clusterTemplate": "t"}}}),
    (
        "stop",
        {"namespace": "lab", "workflowId": "w", "message": "m", "nodeFieldSelector": "displayName=a", "requestId": "r"},
    ),
    ("get", {"workflowId": "w", "fields": "status.phase", "uid": "u"}),
)
UPDATE = {
    "namespace": "factory", "workflowId": "w", "status": "Running", "progress": "50%", "message": "m",
    "details": {"a": [1]},
}  # fmt: skip
PAYLOAD = {"n": 5, "s": "abc", "id": 7, "more": {"list": [1, 2.5, "x"]}}
EVENT = {
    "specversion": "1.0",
    "id": "i",
    "source": "s",
    "type": "t",
    "data": [1, {"a": "b"}],
    "datacontenttype": "text/plain",
}
WORDS = words_in([body for _, body in REQUESTS], UPDATE, PAYLOAD)


# -- messages through the real pipeline --------------------------------------------------------------------------------


def pipeline() -> Callable[[Message], object]:
    """Take a message: it is acknowledged once, meets no unexpected error, and what goes out of it may be published."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bridge.yaml").write_text(BRIDGE)
        (folder / "mappings.yaml").write_text(MAPPINGS)
        loaded = load(folder / "bridge.yaml", {})
    assert loaded.ok, loaded.problems
    bench = IngestBench(Path(tempfile.gettempdir()), FakeMapping("none"))
    bench.mappings.route = loaded.compiled.route  # type: ignore[method-assign]  # the real ones
    bench.check = ClusterSchema(_LIBRARY, "4.1.2", None).check
    last_sent = 0

    def take(message: Message) -> object:
        (delivery,) = bench.receive(message)
        return lambda: check(delivery)

    def check(delivery: Any) -> None:
        nonlocal last_sent
        asked = len(bench.reads.asked)
        bench.reads.asked.clear()
        bench.reads.room = 16
        assert delivery.acks + asked == 1, f"acknowledged {delivery.acks} times, {asked} reads"
        assert bench.count("internal_errors_total", where="ingest") == 0, "an unexpected error"
        for seq, row in bench.spool.real.outbox("plant", last_sent, 100):
            last_sent = max(last_sent, seq)
            assert not published_problem(row.message.topic), row.message.topic
            json.loads(row.message.payload)
            assert len(row.message.payload) < 300_000, "a large message goes out"
        for row in bench.waiting()[-3:]:
            assert not any("{{" in each for each in row.event.order.parameters.values()), row.event.order.parameters

    return take


_LIBRARY = SchemaLibrary()


def properties(rng: Random) -> MessageProperties:
    """Properties as a 5.0 or AMQP client may set them."""
    if rng.random() < 0.5:
        return MessageProperties()
    names = ("specversion", "source", "id", "code", text(rng))
    return MessageProperties(
        response_topic=rng.choice(("", "replies/a", f"{PREFIX}/response/x", text(rng), "a/" * rng.randrange(300))),
        correlation_data=rng.randbytes(rng.choice((0, 1, 16, 60_000))),
        content_type=rng.choice(("", "application/json", "application/cloudevents+json", text(rng))),
        message_expiry_s=rng.choice((None, 0.0, 1.0, 4294967295.0)),
        message_id=rng.choice(("", "m", _utf8(text(rng)))),
        user=tuple((_utf8(rng.choice(names)), _utf8(text(rng))) for _ in range(rng.randrange(5)))
        * rng.choice((1, 1, 300)),
    )


def _utf8(found: str) -> str:
    return found.encode("utf-8", "replace").decode()


def _message(rng: Random, topic: str, payload: bytes) -> Message:
    flags = {"retain": rng.random() < 0.05, "dup": rng.random() < 0.2}
    return Message("plant", topic, payload, 1, packet_id=rng.randrange(1, 5), properties=properties(rng), **flags)


def a_request(rng: Random) -> Message:
    """A request with changes."""
    operation, body = rng.choice(REQUESTS)
    whole = many_keys(rng, WORDS) if rng.random() < 0.03 else changed_often(rng, body, WORDS)
    level = rng.choice(("", "", "", "/factory", "/kube-system", "/", f"/{_utf8(text(rng))[:99]}"))
    return _message(rng, f"{PREFIX}/{operation}{level}", as_json(rng, whole))


def an_update(rng: Random) -> Message:
    """A status update of another system, with changes."""
    topic = rng.choice((f"{PREFIX}/status", f"{PREFIX}/status", f"{PREFIX}/status/factory/w"))
    return _message(rng, topic, as_json(rng, changed_often(rng, UPDATE, WORDS)))


def a_reading(rng: Random) -> Message:
    """A device's message, in any format."""
    device = rng.choice(("7", "a b", _utf8(text(rng)).replace("+", "").replace("#", "").replace("\0", "")[:200]))
    kinds = ("text", "number", "csv", "cbor", "msgpack", "event")
    topic = rng.choice(("sensors/{0}/json/d", *(f"sensors/s/{kind}/{{0}}" for kind in kinds), "raw/{0}")).format(device)
    number = rng.choice((b"21.5", b" -3\n", b"1e3", b"9" * 5000, b"NaN", b"1_0", b"", rng.randbytes(20)))
    ways = (as_json(rng, changed_often(rng, PAYLOAD, WORDS)), number, text(rng).encode("utf-8", "surrogatepass"))
    rows = b"\n".join((b"n,s", *(number + b"," + number for _ in range(rng.choice((0, 1, 20_000))))))
    cbor, event = mutated(rng, cbor2.dumps(PAYLOAD)), mutated(rng, json.dumps(PAYLOAD | EVENT).encode())
    packed = gzip.compress(mutated(rng, msgpack.packb(PAYLOAD)))
    return _message(rng, topic, rng.choice((*ways, rows, cbor, event, packed)))


# -- bytes from brokers ------------------------------------------------------------------------------------------------


def a_publish(rng: Random) -> bytes:
    """A PUBLISH packet of MQTT 5.0, mostly broken."""
    listed = [b"\x26" + mqtt_text(_utf8(text(rng))) + mqtt_text(_utf8(text(rng)))] * rng.choice((0, 1, 3, 500))
    listed += [b"\x09" + mqtt_text(rng.randbytes(rng.randrange(50))), b"\x08" + mqtt_text(_utf8(text(rng)))]
    listed += [b"\x02" + struct.pack("!I", rng.randrange(2**32)), b"\x0b" + bytes([rng.randrange(128)]), b"\x01\x01"]
    rng.shuffle(listed)
    told = b"".join(listed[: rng.randrange(len(listed) + 1)])
    size, length = len(told), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            break
    topic = rng.choice(("sensors/a", _utf8(text(rng)), "a/" * 20_000))
    data = publish_packet(topic, rng.randbytes(rng.randrange(100)), rng.randrange(3), properties=length + told)
    return mutated(rng, data) if rng.random() < 0.7 else data


def mqtt_reader() -> Callable[[bytes], None]:
    """Take a stream: whole packets or ProtocolError; what is read fits together."""

    def take(data: bytes) -> None:
        reader = PacketReader()
        try:
            for start in range(0, len(data), 1000):
                reader.feed(data[start : start + 1000])
                for packet in reader.packets():
                    if packet[0] >> 4 == 3:
                        check(parse_publish(packet, "plant", has_properties=True))
        except ProtocolError:
            return

    def check(message: Message) -> None:
        assert not set(message.topic) & {"\0", "+", "#"}
        assert (message.qos > 0) == (message.packet_id > 0)

    return take


def an_arrival(rng: Random) -> tuple[bytes, bytes, bytes]:
    """Header, routing key and body of an AMQP delivery."""
    headers = {_utf8(text(rng))[:60]: _amqp_value(rng, 4) for _ in range(rng.randrange(5))}
    if rng.random() < 0.1:
        headers |= {f"h{number}": "x" for number in range(1000)}
    if rng.random() < 0.2:
        headers["x-death"] = rng.choice(
            ([{"queue": "q", "reason": "expired", "exchange": ""}], [1], value(rng, 2) and [], 7)
        )
    short = [_utf8(text(rng)).encode()[:255].decode("utf-8", "ignore") for _ in range(6)]
    packed = pika.BasicProperties(
        headers=headers, content_type=short[0], correlation_id=short[1], reply_to=short[2], expiration=short[3],
        message_id=short[4], content_encoding=rng.choice((None, "gzip", short[5])), timestamp=rng.randrange(2**40),
    )  # fmt: skip
    try:
        header = b"".join(packed.encode())
    except pika.exceptions.UnsupportedAMQPFieldException:  # pika cannot write all that it can read
        header = rng.randbytes(40)
    body = rng.choice(
        (b"{}", rng.randbytes(50), gzip.compress(b"x" * rng.choice((5, 10_000_000))), gzip.compress(b"y")[:-3])
    )
    if rng.random() < 0.1:
        header = header[:2] + _nested(rng.choice((10, 1000, 30_000)))
    key = rng.choice((b"sensors.a", b"argo.workflows.trigger", rng.randbytes(9), _utf8(text(rng)).encode()[:255]))
    return (mutated(rng, header) if rng.random() < 0.6 else header), key, body


def _amqp_value(rng: Random, levels: int) -> Any:
    if levels and rng.random() < 0.4:
        inner = _amqp_value(rng, levels - 1)
        return rng.choice(([inner, inner], {"a": inner}))
    return rng.choice((_utf8(text(rng)), rng.randrange(-(2**31), 2**31), True, None, 1 << 40))


def _nested(levels: int) -> bytes:
    inner = b""
    for _ in range(min(levels, 300)):
        inner = b"\x01aF" + struct.pack(">I", len(inner)) + inner
    return struct.pack(">I", len(inner) * 1000) + inner * (levels // 300 + 1)


def amqp_reader() -> Callable[[tuple[bytes, bytes, bytes]], None]:
    """Take a delivery: a message, with a flaw where it could not be read."""
    reader = MessageReader(
        AmqpOptions(name="office", url="amqp://localhost", bridge_id="plant-1", max_payload_bytes=100_000)
    )
    reader.expect({f"{PREFIX}/trigger", f"{PREFIX}/trigger/+"}, {"sensors/+"})

    def take(given: tuple[bytes, bytes, bytes]) -> None:
        header, raw_key, body = given
        try:
            key: str | bytes = raw_key.decode()
        except UnicodeDecodeError:
            key = raw_key
        for kind in (QueueKind.EVENTS, QueueKind.REQUESTS):
            message = reader.read(Arrival(1, Origin(kind, "argo.workflows", key), 7, False, header, body), 0.0).message
            assert len(message.payload) <= max(100_000, len(body))
            assert message.flaw is None or len(message.flaw.message) < 2000
            assert message.properties.user is not None

    return take


def a_topic(rng: Random) -> tuple[str, str, str]:
    """Two filters and a topic, mostly related."""
    levels = [rng.choice(("a", "b", "", "$x", _utf8(text(rng)))) for _ in range(rng.choice((1, 2, 5, 5, 20_000)))]
    filters = [
        "/".join([*(level if rng.random() < 0.8 else "+" for level in levels[: rng.choice((len(levels), 3))]),
                  *(["#"] if rng.random() < 0.3 else [])]) for _ in range(2)
    ]  # fmt: skip
    return filters[0], filters[1], "/".join(levels)


def topics() -> Callable[[tuple[str, str, str]], None]:
    """Filters that match one topic overlap; a filter of the topic itself matches; problems are told, never raised."""

    def take(given: tuple[str, str, str]) -> None:
        first, second, topic = given
        if (
            topic_filter.filter_problem(first)
            or topic_filter.filter_problem(second)
            or topic_filter.name_problem(topic)
        ):
            return
        if topic_filter.matches(first, topic) and topic_filter.matches(second, topic):
            assert topic_filter.overlap(first, second)
            assert topic_filter.overlap(second, first)
        assert topic_filter.matches(topic, topic)
        assert topic_filter.matches(f"{topic}/#", topic)

    return take


# -- the Argo Server ---------------------------------------------------------------------------------------------------

FRAMES = (
    {"result": {"type": "MODIFIED", "object": workflow()}},
    {"result": {"type": "ADDED", "object": failed_nodes()}},
    {"result": {"type": "DELETED", "object": workflow(phase="Succeeded")}},
    {"error": {"grpc_code": 3, "http_code": 400, "message": "too old resource version: 1 (2)"}},
)
FRAME_WORDS = words_in(*FRAMES)
ERRORS = (
    {"code": 5, "message": 'workflowtemplates.argoproj.io "t" not found'},
    {"code": 6, "message": 'workflows.argoproj.io "w" already exists'},
    {"error": {"grpc_code": 8, "http_code": 429, "message": "EOF"}},
    workflow(),
)


def an_answer(rng: Random) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an HTTP answer."""
    body = as_json(rng, changed_often(rng, rng.choice(ERRORS), FRAME_WORDS))
    later = rng.choice(("5", "-1", "9" * 99, "Mon, 30 Nov 2026 00:00:00 GMT", text(rng)))
    headers = {"retry-after": later, "location": text(rng), "date": later}
    return rng.choice((200, 200, 201, 302, 400, 401, 403, 404, 408, 409, 429, 500, 503, 504, 999)), headers, body


def answers() -> Callable[[tuple[int, dict[str, str], bytes]], None]:
    """Every answer has a meaning, in a short text of one line."""

    def take(given: tuple[int, dict[str, str], bytes]) -> None:
        status, headers, body = given
        for answer in (classify(status, headers, body, 1.8e9), stream_error(body)):
            assert answer.code
            assert len(answer.message) <= 300
            assert "\n" not in answer.message
            assert answer.retry_after_s is None or 0 <= answer.retry_after_s <= 3600

    return take


def a_stream(rng: Random) -> bytes:
    """What a watch may bring."""
    parts = [as_json(rng, changed_often(rng, rng.choice(FRAMES), FRAME_WORDS)) for _ in range(rng.choice((1, 2, 4)))]
    data = b"".join(rng.choice((b"data: ", b"data:", b"")) + part + b"\n\n" for part in parts)
    return mutated(rng, data) if rng.random() < 0.3 else data


def watched() -> Callable[[bytes], None]:
    """Take a stream: what it says of workflows is followed, and what goes out of it may be published."""
    broker = FakeBroker()
    bench = Bench(FakeTransport(broker))
    bench.connect()
    bench.list()

    def take(data: bytes) -> None:
        parser = SseParser()
        frames = [each for start in range(0, len(data), 700) for each in parser.feed(data[start : start + 700])]
        for raw in [*frames, *parser.close()]:
            found = read_frame(raw, NS)
            if isinstance(found, WatchFrame) and found.type in ("ADDED", "MODIFIED", "DELETED"):
                bench.handle(found, Listed(NS, (found.workflow,), False))
        bench.wait(1.2, 0.4)
        for topic in list(broker.retained):
            assert not published_problem(topic), topic

    return take


# -- configurations ----------------------------------------------------------------------------------------------------

_CONFIG = ROOT / "config"
_FILES = ("bridge.yaml", "mappings/boiler.yaml", "mappings/door.yaml", "mappings/vibration.yaml")
_BLOCKS = tuple(block.text.encode() for block in blocks("yaml") if block.text.startswith("mappings:"))


def a_configuration(rng: Random) -> tuple[str, bytes]:
    """One file of a configuration, and what stands in it."""
    name = rng.choice(_FILES)
    whole = (_CONFIG / name).read_bytes() if rng.random() < 0.5 or name == "bridge.yaml" else rng.choice(_BLOCKS)
    lines = whole.splitlines(keepends=True)
    for _ in range(rng.choice((0, 1, 3))):
        line, at = rng.choice(lines), rng.randrange(len(lines))
        key, colon, _ = line.partition(b": ")
        nasty = json.dumps(rng.choice(NASTY_TEXTS), ensure_ascii=rng.random() < 0.8).encode("utf-8", "surrogatepass")
        lines[at : at + rng.randrange(2)] = rng.choice(
            ([line], [line] * 100, [key + colon + nasty + b"\n"], [b" " + line])
        )
    data = b"".join(lines)
    return name, mutated(rng, data) if rng.random() < 0.6 else data


def configurations() -> Callable[[tuple[str, bytes]], object]:
    """Take a file: every problem has a place and a code; nothing is raised."""
    folder = Path(tempfile.gettempdir()) / "argo-bridge-fuzz-config"
    shutil.copytree(_CONFIG, folder, dirs_exist_ok=True)

    def take(given: tuple[str, bytes]) -> object:
        name, data = given
        (folder / name).write_bytes(data)
        try:
            loaded = load(folder / "bridge.yaml", {})
        finally:
            shutil.copyfile(_CONFIG / name, folder / name)
        return lambda: check(loaded.problems)

    def check(problems: Any) -> None:
        for problem in problems:
            assert problem.render()
            assert "Traceback" not in problem.render()
            assert len(problem.render()) < 5000, "a problem of many characters"

    return take


TARGETS = (
    Target("requests", a_request, pipeline, Budget(0.02, 0.002, 6.0, 150.0)),
    Target("readings", a_reading, pipeline, Budget(0.02, 0.002, 6.0, 150.0)),
    Target("updates", an_update, pipeline, Budget(0.02, 0.002, 6.0, 150.0)),
    Target("mqtt", a_publish, mqtt_reader, Budget(0.005, 0.001)),
    Target("amqp", an_arrival, amqp_reader, Budget(0.01, 0.001)),
    Target("topics", a_topic, topics, Budget(0.01, 0.0005)),
    Target("answers", an_answer, answers, Budget(0.005, 0.001)),
    Target("watch", a_stream, watched, Budget(0.03, 0.002, 6.0, 150.0)),
    Target("configurations", a_configuration, configurations, Budget(0.4, 0.02, 32.0)),
)
