"""Promises of bridge.yaml: every key of the documentation is read, and what is wrong is told with its place."""

from pathlib import Path

import pytest

from bridge.argo.options import Secret
from bridge.configfile.problems import Problems
from bridge.interface.operations import Operation
from bridge.settings.loading import load_settings
from bridge.settings.model import LogFormat, LogLevel
from bridge.status.options import ScopeKind, StatusScope
from bridge.transports.mqtt.options import MqttVersion
from bridge.web.options import ListenAddress

REQUIRED = """\
bridge: {id: plant-1, data-dir: data}
connections:
  plant: {mqtt: {url: "mqtt://localhost"}}
argo: {url: "http://localhost:2746", namespaces: [factory]}
"""
USE_TLS = "use mqtts:// or wss://"
NAMESPACES_HINT = "list the namespaces that workflows may run in, or set ARGO_NAMESPACE"
EVERYTHING = """\
bridge:
  id: plant-1
  data-dir: /var/lib/argo-bridge
connections:
  plant:
    mqtt: {url: "mqtts://localhost:8883", version: 3.1.1, username: bridge, password-file: secret, client-id: me,
           session-expiry: 1d, receive-maximum: 10, keepalive: 30s,
           tls: {ca: ca.crt, cert: my.crt, key: my.key, insecure: true}}
argo:
  url: https://argo.example/base/
  token-file: secret
  tls: {ca: ca.crt, insecure: true}
  namespaces: [factory, office]
  version: 4.1.2
interface:
  prefix: plant/workflows
  operations: [trigger, list-templates]
  manifests: false
  max-payload: 1MiB
  max-publish: 64KiB
mappings: ["mappings/*.yaml", extra.yaml]
status: {scope: {selector: "app=x"}, external-keep: 1h, notify: [{topic: alarms}, {topic: a/b, on: ended}]}
spool: {max-rows: 10, max-bytes: 1GiB, keep-done: 48h}
dead-letters: {max-rows: 5, max-bytes: 1MiB, keep: 1d}
web: {listen: null}
log: {format: json, level: debug}
"""
RISK = "insecure"  # test_settings_risks.py has its own


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder that holds the files that configurations name."""
    monkeypatch.chdir(tmp_path)
    for name in ("secret", "ca.crt", "my.crt", "my.key"):
        (tmp_path / name).write_text("x")
    (tmp_path / "mappings").mkdir()
    for name in ("extra.yaml", "mappings/b.yaml", "mappings/a.yaml"):
        (tmp_path / name).write_text("mappings: []")
    return tmp_path


def load(text, **environ):
    Path("bridge.yaml").write_text(text)
    problems = Problems()
    loaded = load_settings(Path("bridge.yaml"), environ, problems)
    return loaded, [problem.render() for problem in problems.in_order() if problem.code != RISK]


def settings_of(text, **environ):
    loaded, problems = load(text, **environ)
    assert problems == []
    return loaded.settings


def problems_of(text, **environ):
    _, problems = load(text, **environ)
    return problems


def test_the_required_keys_are_enough(folder):
    """All others have defaults."""
    settings = settings_of(REQUIRED)
    assert settings.bridge.data_dir == folder / "data"
    mqtt = settings.connections["plant"].mqtt
    assert (mqtt.name, mqtt.client_id) == ("plant", "argo-bridge-plant-1-plant")
    assert (mqtt.version, mqtt.session_expiry_s, mqtt.receive_maximum) == (MqttVersion.V5, 604_800.0, 1000)
    assert settings.interface.prefix == "argo/workflows"
    assert settings.interface.operations == tuple(Operation)
    assert settings.interface.max_payload_bytes == settings.interface.max_publish_bytes == 262_144
    assert settings.status.scope == StatusScope(ScopeKind.BRIDGE)
    assert (settings.spool.max_rows, settings.spool.max_bytes, settings.spool.keep_done_s) == (
        5_000_000,
        1 << 32,
        86_400,
    )
    assert (settings.dead_letters.max_rows, settings.dead_letters.max_bytes) == (10_000, 1 << 26)
    assert settings.dead_letters.keep_s == 30 * 86_400
    assert settings.web.listen == ListenAddress("127.0.0.1", 8080)
    assert (settings.log.format, settings.log.level) == (LogFormat.CONSOLE, LogLevel.INFO)
    assert settings.mappings == ()


def test_every_key_is_read(folder):
    """With absolute paths and the units of code."""
    settings = settings_of(EVERYTHING)
    mqtt = settings.connections["plant"].mqtt
    assert settings.bridge.data_dir == Path("/var/lib/argo-bridge")
    assert (mqtt.url, mqtt.version, mqtt.username) == ("mqtts://localhost:8883", MqttVersion.V311, "bridge")
    assert (mqtt.password_file, mqtt.session_expiry_s, mqtt.keepalive_s) == (folder / "secret", 86_400.0, 30.0)
    assert (mqtt.tls.ca, mqtt.tls.cert, mqtt.tls.key) == tuple(folder / name for name in ("ca.crt", "my.crt", "my.key"))
    assert mqtt.tls.insecure
    assert mqtt.client_id == "me"
    assert (settings.argo.url, settings.argo.version) == ("https://argo.example/base", "4.1.2")
    assert (settings.argo.token_file, settings.argo.tls.ca) == (folder / "secret", folder / "ca.crt")
    assert settings.argo.namespaces == ("factory", "office")
    assert settings.interface.operations == (Operation.TRIGGER, Operation.LIST_TEMPLATES)
    assert (settings.interface.manifests, settings.interface.max_publish_bytes) == (False, 65_536)
    assert settings.status.scope == StatusScope(ScopeKind.SELECTOR, "app=x")
    assert [(one.topic, one.on.value) for one in settings.status.notify] == [("alarms", "failed"), ("a/b", "ended")]
    assert settings.web.listen is None
    assert settings.log.format is LogFormat.JSON


def test_mapping_files_come_in_the_order_of_patterns_then_of_names(folder):
    """And none twice."""
    text = EVERYTHING.replace(
        '"mappings/*.yaml", extra.yaml', f'extra.yaml, "mappings/*.yaml", "{folder}/mappings/b.yaml"'
    )
    loaded, problems = load(text)
    assert problems == []
    names = ["extra.yaml", "mappings/a.yaml", "mappings/b.yaml"]
    assert [file.path for file in loaded.mapping_files] == [folder / name for name in names]


def test_missing_keys_are_all_told_at_once():
    """An empty file has no other problem."""
    assert problems_of("") == [
        'bridge.yaml:1:1: missing-key: the key "argo" is missing; or set ARGO_SERVER and ARGO_NAMESPACE',
        'bridge.yaml:1:1: missing-key: the key "bridge" is missing',
        'bridge.yaml:1:1: missing-key: the key "connections" is missing',
    ]
    assert problems_of("bridge: {id: a}\nconnections: {}\nargo: {url: http://a}\n") == [
        'bridge.yaml:1:9: missing-key: bridge: the key "data-dir" is missing',
        'bridge.yaml:2:14: wrong-type: "connections" needs at least 1',
        'bridge.yaml:3:7: missing-key: argo: the key "namespaces" is missing; ' + NAMESPACES_HINT,
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("id: plant-1", "id: Plant", '1:14: bad-value: bridge: "id" must be small letters, digits and -'),
        ("id: plant-1", f"id: {'x' * 33}", '1:14: bad-value: bridge: "id" must be small letters, digits and -'),
        (
            "data-dir: data",
            "data-dir: secret",
            '1:33: bad-value: bridge: "data-dir" must be a directory, and secret is not',
        ),
        ("plant: {", "Plant: {", '3:3: bad-key: in "connections" a name must be small letters, digits and -'),
        ("mqtt: {url", "mqt: {url", '3:11: unknown-key: connection "plant": unknown key "mqt"; did you mean "mqtt"?'),
        (
            "mqtt://",
            "http://",
            '3:23: bad-value: connection "plant": "url" must be a URL (mqtt://, mqtts://, ws://, wss://)',
        ),
        ("mqtt://", "mqtt://a:b@", '3:23: credentials-in-url: connection "plant": "url" has credentials'),
        ("[factory]", "[Factory]", '4:51: bad-value: argo: "namespaces" must be a namespace: small letters'),
        ("[factory]", "[a, b, a]", '4:57: duplicate-value: argo: "namespaces" names "a" twice; remove one'),
        ("[factory]", "[]", '4:50: wrong-type: argo: "namespaces" needs at least 1'),
        (
            "[factory]",
            "[a], version: 4",
            '4:64: bad-value: argo: "version" must be auto, or a version such as 4.1 or 4.1.2',
        ),
        (
            "[factory]",
            "[a], token-file: nope",
            '4:67: unreadable-file: argo: "token-file": cannot read the file: No such',
        ),
        (
            "[factory]",
            "[a], token-file: mappings",
            '4:67: unreadable-file: argo: "token-file": cannot read the file: it is not a',
        ),
    ],
)
def test_wrong_values_are_told_with_their_place(old, new, problem):
    """One line each."""
    (found,) = problems_of(REQUIRED.replace(old, new))
    assert found.startswith(f"bridge.yaml:{problem}")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "interface: {prefix: a/+/b}",
            '21: bad-value: interface: "prefix" is not a topic prefix: a topic name must not have wildcards',
        ),
        (
            "interface: {prefix: /a}",
            '21: bad-value: interface: "prefix" is not a topic prefix: it begins or ends with /',
        ),
        (
            "interface: {prefix: a/}",
            '21: bad-value: interface: "prefix" is not a topic prefix: it begins or ends with /',
        ),
        (
            "interface: {prefix: $SYS/a}",
            '21: bad-value: interface: "prefix" is not a topic prefix: topics that begin with $',
        ),
        ("interface: {prefix: argo/bridge}", '21: bad-value: interface: "prefix" is not a topic prefix: topics under'),
        ("interface: {operations: [stpo]}", '26: bad-value: interface: "operations" must be trigger, stop, '),
        ("interface: {max-payload: 17MiB}", '26: bad-value: interface: "max-payload" must be from 1KiB to 16MiB'),
        (
            "status: {scope: bridg}",
            '17: bad-value: status: "scope" must be bridge, namespace or {selector: "app=x"}, not "bridg"; did',
        ),
        (
            "status: {scope: {selctor: a}}",
            '18: unknown-key: status.scope: unknown key "selctor"; did you mean "selector"?',
        ),
        ("status: {scope: {}}", '17: wrong-type: status: "scope" must be a map with "selector", a label selector'),
        (
            "web: {listen: 8080}",
            '15: bad-value: web: "listen" must be an address such as 127.0.0.1:8080, not "8080"',
        ),
        (
            "web: {listen: 'a:70000'}",
            '15: bad-value: web: "listen" must be an address such as 127.0.0.1:8080, not "a:70000"',
        ),
        ("mappings: [nope.yaml]", '12: no-files: mappings: "nope.yaml" matches no file under .'),
        ("mappings: ['no/*.yaml']", '12: warning: no-files: mappings: "no/*.yaml" matches no file under .'),
        (
            "log: {level: warn}",
            '14: bad-value: log: "level" must be debug, info, warning or error, not "warn"',
        ),
    ],
)
def test_wrong_values_of_optional_sections_are_told(more, problem):
    """With the column of the value."""
    (found,) = problems_of(REQUIRED + more)
    assert found.startswith(f"bridge.yaml:5:{problem}")


@pytest.mark.parametrize(
    ("mqtt", "problem"),
    [
        ("tls: {cert: my.crt}", 'missing-key: connection "plant": "cert" also needs "key"'),
        ("tls: {key: my.key}", 'missing-key: connection "plant": "key" also needs "cert"'),
        (
            "tls: {ca: nope.crt}",
            'unreadable-file: connection "plant": "ca": cannot read the file: No such file or directory',
        ),
        ("password-file: empty", 'unreadable-file: connection "plant": "password-file": the file is empty: empty'),
        (
            "version: 3.1.1, password-file: secret",
            'missing-key: connection "plant": "password-file" also needs "username"',
        ),
        (
            "receive-maximum: 0",
            'bad-value: connection "plant": "receive-maximum" must be a whole number from 1 to 65535',
        ),
        ("session-expiry: 5s", 'bad-value: connection "plant": "session-expiry" must be from 1m to 49710d'),
    ],
)
def test_wrong_connections_are_told_by_name(mqtt, problem, folder):
    """Also what is wrong between keys, and the files that they name."""
    (folder / "empty").touch()
    (found,) = problems_of(REQUIRED.replace('"mqtt://localhost"', f'"mqtts://localhost", {mqtt}'))
    assert problem in found
    assert found.startswith("bridge.yaml:3:")


def test_tls_keys_without_tls_are_a_warning():
    """They would give a false feeling of safety."""
    loaded, problems = load(REQUIRED.replace('"mqtt://localhost"', '"mqtt://localhost", tls: {ca: ca.crt}'))
    assert loaded.settings is not None
    assert problems == [
        'bridge.yaml:3:48: warning: unused-key: connection "plant": "tls" has no effect with mqtt:// and ws://; '
        + USE_TLS,
    ]


def test_what_a_broker_without_retain_or_will_costs_is_said():
    """Both are usable, and `check` names what is lost with each."""
    loaded, problems = load(REQUIRED.replace('"mqtt://localhost"', '"mqtt://localhost", retain: false, will: false'))
    assert loaded.settings is not None
    mqtt = loaded.settings.connections["plant"].mqtt
    assert (mqtt.retain, mqtt.will) == (False, False)
    assert ["weaker-promise" in problem and "warning" in problem for problem in problems] == [True, True]
    assert "later subscribers" in problems[0]
    assert "stays online" in problems[1]


AMQP = REQUIRED.replace("plant: {mqtt: ", "plant: {amqp: ").replace("mqtt://localhost", "amqp://localhost")


def test_an_amqp_connection_needs_its_url_only():
    """Exchange, queues, user and all else have defaults."""
    assert problems_of(AMQP) == []


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("exchange: ''", 'bad-value: connection "plant": "exchange" must be the name of an exchange'),
        ("declare: always", 'bad-value: connection "plant": "declare" must be create or check'),
        ("hosts: ['a b']", 'bad-value: connection "plant": "hosts"'),
        ("prefetch: 0", 'bad-value: connection "plant": "prefetch" must be a whole number from 1 to 65535'),
        ("username: bridge", 'missing-key: connection "plant": "username" also needs "password-file"'),
        ("login: certificate", 'missing-key: connection "plant": "login: certificate" needs amqps:// and "cert"'),
        ("tls: {insecure: true}", 'unused-key: connection "plant": "tls" has no effect with amqp://; use amqps://'),
        (
            "exchange: amq.fanout",
            'bad-value: connection "plant": "exchange" must be a topic exchange, and "amq.fanout"',
        ),
        ("queue-arguments: {}", 'missing-key: connection "plant": "queue-arguments" also needs "queue"'),
        (
            "queue: argo-bridge.x.events",
            'bad-value: connection "plant": "queue" must be the name of a queue that is not',
        ),
        (
            "queue: q, queue-arguments: {x-a: [1]}",
            'wrong-type: connection "plant": "queue-arguments.x-a" must be a text',
        ),
        ("client-id: x", 'unknown-key: connection "plant": unknown key "client-id"'),
    ],
)
def test_a_wrong_amqp_key_is_told(keys, problem):
    """Each with the connection's name and what would be right."""
    (found,) = problems_of(AMQP.replace('"amqp://localhost"', f'"amqp://localhost", {keys}'))
    assert problem in found


def test_the_arguments_of_a_queue_keep_their_types():
    """Brokers compare them too."""
    keys = "queue: orders, queue-arguments: {x-max-length: 10, x-queue-type: quorum, x-single-active-consumer: true}"
    amqp = settings_of(AMQP.replace('"amqp://localhost"', f'"amqp://localhost", {keys}')).connections["plant"].amqp
    assert amqp.queue == "orders"
    assert dict(amqp.queue_arguments) == {
        "x-max-length": 10,
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
    }


def test_two_amqp_connections_never_share_their_queues():
    """The queues bear the bridge's name only."""
    second = '  other: {amqp: {url: "amqp://localhost"}}\nargo:'
    (problem,) = problems_of(AMQP.replace("argo:", second))
    assert "duplicate-value" in problem
    assert "share their queues" in problem


def test_two_connections_are_never_one_client():
    """They would throw each other out for ever."""
    second = '  other: {mqtt: {url: "mqtt://localhost", client-id: argo-bridge-plant-1-plant}}\nargo:'
    (problem,) = problems_of(REQUIRED.replace("argo:", second))
    assert problem.startswith('bridge.yaml:4:54: duplicate-value: connection "other": connection "plant" has the same')


def test_one_wrong_section_hides_nothing_about_the_others():
    """What lies between keys is told beside what lies in them."""
    problems = problems_of("spoll: {}\nmappings: [nope.yaml]\n" + REQUIRED.replace("http://localhost:2746", "ftp://x"))
    assert [problem.split(": ")[1] for problem in problems] == ["unknown-key", "no-files", "bad-value"]


def test_secrets_do_not_show_themselves():
    """In no repr, and the token is not compared in the open."""
    settings = settings_of(
        REQUIRED.replace('url: "http://localhost:2746", ', ""), ARGO_SERVER="a:1", ARGO_TOKEN="Bearer hunter2"
    )
    assert settings.argo.token.reveal() == "Bearer hunter2"
    assert "hunter2" not in repr(settings) + str(settings.argo.token) + f"{settings.argo.token!r}"
    assert settings.argo.token == Secret("Bearer hunter2")


@pytest.mark.parametrize("text", ["[]", "just text", "7"])
def test_a_file_that_is_no_map_is_one_problem(text):
    """It says what a configuration looks like."""
    (problem,) = problems_of(text)
    assert problem.startswith("bridge.yaml:1:1: wrong-type: a configuration must be a map with keys such as bridge")
    assert "text" not in problem


@pytest.mark.parametrize(
    "text",
    [
        "root:*:20228:0:99999:7:::\n",
        "s3cret: s3cret\n",
        "'s3cret'",
        "- s3cret",
        "user: bridge\ns3cret: 1\ns3cret: 2\n",
        "? s3cret",
    ],
)
def test_of_a_file_that_is_no_configuration_nothing_is_shown(text):
    """Who may run `check` with more rights than his own does not read other files with it."""
    (problem,) = problems_of(text)
    assert "s3cret" not in problem
    assert "root" not in problem
    assert problem.startswith("bridge.yaml:1:1: wrong-type")


def test_a_configuration_that_lacks_nearly_everything_is_told_what():
    """One key, or one that is nearly right, tells what the file is meant to be."""
    assert any("unknown-key" in problem and "connection" in problem for problem in problems_of("connection: {}"))
