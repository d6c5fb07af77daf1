"""The simulator as a server: faults, restarts, TLS, odd clients, its own endpoints and its verb."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import ipaddress
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from argo_recordings import Answer, call, frames_of
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.simulator import FaultKind, InjectedFault, Simulator, SimulatorOptions
from tests.support.machine import scaled

CREATE = "/api/v1/workflows/argo"
WATCH = "/api/v1/workflow-events/argo"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulator with a clean end."""
    with Simulator(SimulatorOptions(container_s=0.05, list_lag_s=0.0, keepalive_s=0.1, seed=1)) as running:
        yield running
        assert running.unexpected == []


def manifest(name: str, duration: str | None = None, **metadata: Any) -> bytes:
    """A create's body."""
    suspend = {} if duration is None else {"duration": duration}
    spec = {"entrypoint": "main", "templates": [{"name": "main", "suspend": suspend}]}
    return json.dumps({"workflow": {"metadata": {"name": name, **metadata}, "spec": spec}}).encode()


def create(simulator: Simulator, name: str, **metadata: Any) -> Answer:
    """Create a workflow that waits."""
    return call(simulator.url, "POST", CREATE, body=manifest(name, **metadata))


REFUSALS = [
    (InjectedFault(FaultKind.STATUS, status=503, message="gone fishing"), 503, {"code": 14, "message": "gone fishing"}),
    (InjectedFault(FaultKind.STATUS, status=401, message="Unauthorized"), 401, {"code": 16, "message": "Unauthorized"}),
    (InjectedFault(FaultKind.RATE_LIMIT_JSON), 429, {"code": 8, "message": re.compile("grpc_ratelimit middleware")}),
    (InjectedFault(FaultKind.TOO_LARGE), 429, {"code": 8, "message": re.compile("larger than max")}),
]


@pytest.mark.parametrize(("fault", "status", "body"), REFUSALS, ids=lambda value: str(value)[:30])
def test_refusing_faults_leave_no_workflow(simulator: Simulator, fault: InjectedFault, status: int, body: Any) -> None:
    """The status and body are those asked for, nothing is stored, and the next request is served."""
    simulator.faults.add(InjectedFault(fault.kind, status=fault.status, message=fault.message, count=1))
    answer = create(simulator, "a")
    assert answer.status == status
    assert answer.value["code"] == body["code"]
    wanted = body["message"]
    assert wanted.search(answer.value["message"]) if isinstance(wanted, re.Pattern) else answer.value == body
    assert simulator.created == []
    assert create(simulator, "a").status == 200


def test_the_text_limiter_says_when_to_come_back(simulator: Simulator) -> None:
    """429 as plain text with a Retry-After that is a date ending in UTC, or what the fault says."""
    simulator.faults.add(InjectedFault(FaultKind.RATE_LIMIT_TEXT, count=1))
    simulator.faults.add(InjectedFault(FaultKind.RATE_LIMIT_TEXT, retry_after="3"))
    answer = create(simulator, "a")
    assert (answer.status, answer.body) == (429, b"Too Many Requests\n")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d UTC", answer.headers["retry-after"])
    assert create(simulator, "a").headers["retry-after"] == "3"


def test_html_and_garbage_are_200_and_no_json(simulator: Simulator) -> None:
    """What a wrong base path and a broken proxy answer."""
    simulator.faults.add(InjectedFault(FaultKind.HTML, count=1))
    simulator.faults.add(InjectedFault(FaultKind.GARBAGE, count=1))
    answer = create(simulator, "a")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    answer = create(simulator, "a")
    assert answer.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.HANG])
def test_a_lost_answer_may_or_may_not_mean_a_workflow(simulator: Simulator, kind: FaultKind, accept: bool) -> None:
    """A connection that is cut, or hangs and is cut, before or after the create was carried out."""
    delay_s = 0.1 if kind is FaultKind.HANG else 0.0
    simulator.faults.add(InjectedFault(kind, method="POST", accept=accept, delay_s=delay_s, count=1))
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        create(simulator, "a")
    assert [created.name for created in simulator.created] == (["a"] if accept else [])
    assert create(simulator, "a").status == (409 if accept else 200)


def test_a_timeout_after_the_create_happened(simulator: Simulator) -> None:
    """A 504 whose create had happened nevertheless: the workflow is there."""
    simulator.faults.add(InjectedFault(FaultKind.STATUS, status=504, accept=True, delay_s=0.05, count=1))
    assert create(simulator, "a").status == 504
    assert simulator.workflow("argo", "a") is not None


def test_a_hanging_request_ends_with_its_client(simulator: Simulator) -> None:
    """Without a delay a request hangs until its client leaves; the server serves others meanwhile."""
    simulator.faults.add(InjectedFault(FaultKind.HANG, path="/a$"))
    with socket.create_connection(("127.0.0.1", simulator.port)) as client:
        client.sendall(b"GET /api/v1/workflows/argo/a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert create(simulator, "b").status == 200
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_delayed_answer_is_the_true_one(simulator: Simulator) -> None:
    """A delay changes nothing but the time."""
    simulator.faults.add(InjectedFault(FaultKind.DELAY, delay_s=0.05, count=2))
    assert create(simulator, "a").status == 200
    assert create(simulator, "a").status == 409


def test_a_list_without_a_version(simulator: Simulator) -> None:
    """The answer of a server whose mirror could not be filled."""
    create(simulator, "a")
    simulator.faults.add(InjectedFault(FaultKind.NO_RESOURCE_VERSION, path="workflows/argo$", method="GET", count=1))
    assert call(simulator.url, "GET", CREATE).value == {"metadata": {}, "items": None}
    assert len(call(simulator.url, "GET", CREATE).value["items"]) == 1


def watch(simulator: Simulator, **params: str) -> Answer:
    """Watch as server-sent events until the end."""
    options = {f"listOptions.{key}": value for key, value in params.items() if key != "fields"}
    fields = {"fields": params["fields"]} if "fields" in params else {}
    return call(simulator.url, "GET", WATCH, params=options | fields, headers={"Accept": "text/event-stream"})


def test_watch_faults(simulator: Simulator) -> None:
    """Too old, EOF before any frame, EOF after frames, a 403, and a cut."""
    simulator.faults.add(InjectedFault(FaultKind.TOO_OLD, path="workflow-events", count=1))
    simulator.faults.add(InjectedFault(FaultKind.WATCH_EOF, path="workflow-events", count=1))
    answer = watch(simulator)
    assert answer.status == 400
    assert b"too old resource version" in answer.body
    answer = watch(simulator)
    assert answer.status == 429
    assert b'"message":"EOF"' in answer.body
    create(simulator, "a")
    simulator.faults.add(InjectedFault(FaultKind.WATCH_EOF, delay_s=0.05, path="workflow-events", count=1))
    answer = watch(simulator)
    assert answer.status == 200
    assert [b"ADDED" in frames_of(answer.body, sse=True)[0], b"EOF" in answer.body] == [True, True]
    simulator.faults.add(InjectedFault(FaultKind.STATUS, status=403, message="no", path="workflow-events", count=1))
    assert watch(simulator).body == (
        b'data: {"error":{"grpc_code":7,"http_code":403,"message":"no","http_status":"Forbidden"}} \n\n'
    )
    simulator.faults.add(InjectedFault(FaultKind.WATCH_CUT, delay_s=0.05, path="workflow-events"))
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        watch(simulator)


def test_an_error_frame_is_cut_by_fields_too(simulator: Simulator) -> None:
    """Unless `fields` names `error`, the last frame of a filtered watch is a bare `{}`."""
    create(simulator, "a")
    simulator.wait_for(lambda sim: sim.workflow("argo", "a")["status"].get("phase"))  # or the watch may show that too
    simulator.faults.add(InjectedFault(FaultKind.WATCH_EOF, delay_s=0.02, path="workflow-events"))
    answer = watch(simulator, fields="result.type,result.object.metadata.name")
    assert frames_of(answer.body, sse=True) == [
        b'data: {"result":{"object":{"metadata":{"name":"a"}},"type":"ADDED"}} \n\n\n',
        b"data: {} \n\n",
    ]


def test_headers_of_a_silent_watch_come_with_the_first_keepalive(simulator: Simulator) -> None:
    """SSE shows a comment line now and then while nothing happens; JSON mode not even a status before a frame."""
    with ThreadPoolExecutor(1) as pool:
        silent = pool.submit(call, simulator.url, "GET", WATCH)
        simulator.wait_for(lambda sim: sim.stats()["watches"] == 1)
        connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", WATCH, headers={"Accept": "text/event-stream"})
            response = connection.getresponse()
            assert response.status == 200
            assert [response.readline() for _ in range(2)] == [b":\n", b":\n"]
            simulator.end_watches("eof")
            assert b"EOF" in response.read()
        # Had it sent anything in that time, its status would be 200.
        assert silent.result().status == 429


def test_labels_that_move_in_and_out_of_a_selector(simulator: Simulator) -> None:
    """A watch on `phase=Running` sees a workflow come when it starts and go when it ends."""
    call(simulator.url, "POST", CREATE, body=manifest("a", "0.05s"))
    simulator.wait_for(lambda sim: sim.workflow("argo", "a")["status"].get("finishedAt"))
    simulator.faults.add(InjectedFault(FaultKind.WATCH_EOF, delay_s=0.02, path="workflow-events"))
    selector = "workflows.argoproj.io/phase=Running"
    frames = frames_of(watch(simulator, resourceVersion="100", labelSelector=selector).body, sse=True)
    assert [json.loads(frame[6:])["result"]["type"] for frame in frames[:-1]] == ["ADDED", "DELETED"]


def test_two_watches_get_the_same(simulator: Simulator) -> None:
    """Frames that are encoded once for many are those that one alone would get."""
    for number in range(50):
        create(simulator, f"w{number}")
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(watch, simulator, resourceVersion="100") for _ in range(3)]
        simulator.wait_for(lambda sim: sim.stats()["watches"] == 3)
        simulator.wait_for(lambda sim: all(w["status"].get("phase") for w in sim.workflows()))
        simulator.end_watches("eof")
        bodies = [answer.result().body.replace(b":\n", b"", 0) for answer in answers]
    frames = [[f for f in frames_of(body, sse=True) if f != b":\n"] for body in bodies]
    assert len(frames[0]) == 101
    assert frames[0] == frames[1] == frames[2]


def test_state_outlives_the_server(simulator: Simulator) -> None:
    """While it does not serve, connections are refused and workflows run on; then all is there, on the same port."""
    url = simulator.url
    call(url, "POST", CREATE, body=manifest("a", "0.1s"))
    simulator.stop_serving()
    with pytest.raises(ConnectionError):
        create(simulator, "b")
    simulator.wait_for(lambda sim: sim.workflow("argo", "a")["status"].get("finishedAt"))
    simulator.start_serving()
    assert simulator.url == url
    assert call(url, "GET", f"{CREATE}/a").value["status"]["phase"] == "Succeeded"


def test_compaction_makes_old_versions_too_old(simulator: Simulator) -> None:
    """Versions before the compaction are refused, the newest can be watched from."""
    create(simulator, "a")
    simulator.wait_for(lambda sim: sim.workflow("argo", "a")["status"].get("phase"))
    simulator.compact()
    assert watch(simulator, resourceVersion="101").status == 400
    simulator.faults.add(InjectedFault(FaultKind.WATCH_EOF, path="workflow-events"))
    newest = simulator.stats()["resourceVersion"]
    assert watch(simulator, resourceVersion=newest).status == 429


def test_tokens(simulator: Simulator) -> None:
    """With a token: no header is a 401 with Argo's text, a wrong one is kube's, the right one passes, in both forms."""
    del simulator
    for given in ("secret", "Bearer secret"):
        with Simulator(SimulatorOptions(token=given, argo_version="3.5")) as guarded:
            answer = call(guarded.url, "GET", CREATE)
            assert answer.status == 401
            assert answer.value["message"].endswith("argo-workflows.readthedocs.io/en/release-3.5/faq/")
            answer = call(guarded.url, "GET", CREATE, headers={"Authorization": "Bearer wrong"})
            assert (answer.status, answer.value["message"]) == (401, "Unauthorized")
            assert call(guarded.url, "GET", CREATE, headers={"Authorization": "Bearer secret"}).status == 200


def test_forbidden_namespaces() -> None:
    """Everything in them is a 403 with kube's words."""
    options = SimulatorOptions(namespaces=frozenset({"argo", "closed"}), forbidden_namespaces=frozenset({"closed"}))
    with Simulator(options) as simulator:
        answer = call(simulator.url, "POST", "/api/v1/workflows/closed", body=manifest("a"))
        assert answer.status == 403
        assert answer.value["message"].endswith('in API group "argoproj.io" in the namespace "closed"')
        assert call(simulator.url, "GET", "/api/v1/workflow-templates/closed/t").value["message"] == "permission denied"


def test_odd_clients_do_not_hurt(simulator: Simulator) -> None:
    """Malformed requests get a 400, requests in a row and in chunks are served, clients that leave are let go."""
    with socket.create_connection(("127.0.0.1", simulator.port)) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    body = manifest("a")
    chunked = b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n" % CREATE.encode()
    with socket.create_connection(("127.0.0.1", simulator.port)) as client:
        client.sendall(chunked)
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"%x\r\n%b\r\n0\r\n\r\nGET /api/v1/version HTTP/1.1\r\n\r\n" % (len(body), body))
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 2:
            received += client.recv(65536)
        client.sendall(f"GET {WATCH} HTTP/1.1\r\n\r\n".encode())
        client.recv(100)
    simulator.wait_for(lambda sim: sim.stats()["watches"] == 0)
    assert [created.name for created in simulator.created] == ["a"]


def test_odd_paths(simulator: Simulator) -> None:
    """A trailing slash, a colon, a double slash, an unknown verb and HEAD answer as Argo's gateway does."""
    assert call(simulator.url, "GET", f"{CREATE}/").value == {"code": 13, "message": "resource name may not be empty"}
    assert call(simulator.url, "GET", f"{CREATE}/a:b").status == 501
    assert call(simulator.url, "PUT", f"{CREATE}/a/halt").status == 501
    assert call(simulator.url, "GET", "/api/v1/workflows//argo").headers["location"] == CREATE
    assert call(simulator.url, "GET", "/api/v1/workflows/").value["items"] is None
    create(simulator, "a")
    assert call(simulator.url, "GET", f"{CREATE}/@latest").value["metadata"]["name"] == "a"


def test_updating_a_template_needs_its_version(simulator: Simulator) -> None:
    """Without a version 400, with an old one 409, with the present one it is changed; cluster-scoped ones likewise."""
    spec = {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]}
    for path, namespace in (("workflow-templates/argo", "argo"), ("cluster-workflow-templates", "")):
        made = simulator.put_template(namespace, {"metadata": {"name": "t"}, "spec": spec})
        url = f"/api/v1/{path}/t"

        def put(version: str, url: str = url) -> Answer:
            metadata = {"name": "t", "resourceVersion": version} if version else {"name": "t"}
            changed = {**spec, "onExit": "main"}
            body = json.dumps({"template": {"metadata": metadata, "spec": changed}}).encode()
            return call(simulator.url, "PUT", url, body=body)

        assert put("").status == 400
        assert put("1").status == 409
        assert put(made["metadata"]["resourceVersion"]).value["spec"]["onExit"] == "main"
        assert call(simulator.url, "GET", url).value["metadata"]["generation"] == 2
        assert call(simulator.url, "DELETE", url).value == {}
        assert call(simulator.url, "DELETE", url).status == 404


def test_its_own_endpoints(simulator: Simulator) -> None:
    """Faults come and go over HTTP, creates are counted with their annotations, and mistakes are told."""

    def control(method: str, path: str, body: Any = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        return call(simulator.url, method, f"/simulator/{path}", body=data).value

    assert control("POST", "faults", {"kind": "cut", "method": "POST", "accept": True, "count": 1}) == {"ids": [1]}
    with contextlib.suppress(ConnectionError, http.client.HTTPException):
        create(simulator, "a", annotations={"argo-bridge/event": "e1"})
    assert control("GET", "faults")[0]["hits"] == 1
    assert control("DELETE", "faults") == {}
    simulator.delete("argo", "a")
    assert create(simulator, "a", annotations={"argo-bridge/event": "e1"}).status == 200
    created = control("GET", "created")
    assert [(c["name"], c["annotations"]) for c in created] == [("a", {"argo-bridge/event": "e1"})] * 2
    assert control("GET", "stats")["created"] == 2
    assert control("POST", "watches/end", {"how": "eof"}) == {"ended": 0}
    assert control("POST", "controller", {"away": True}) == {"away": True}
    assert "resourceVersion" in control("POST", "compact")
    assert "unknown keys" in control("POST", "faults", {"kind": "cut", "pth": "x"})["error"]
    assert "no such control" in control("GET", "nope")["error"]


def test_wait_for_gives_up(simulator: Simulator) -> None:
    """What never holds ends in a TimeoutError, what holds is returned."""
    with pytest.raises(TimeoutError):
        simulator.wait_for(lambda sim: sim.created, timeout_s=0.05)
    create(simulator, "a")
    assert simulator.wait_for(lambda sim: sim.created)[0].name == "a"


def test_tls(tmp_path: Path) -> None:
    """With a certificate it speaks https."""
    certificate, key = make_certificate(tmp_path)
    with Simulator(SimulatorOptions(certfile=str(certificate), keyfile=str(key))) as simulator:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", simulator.port, context=context, timeout=10)
        connection.request("POST", CREATE, manifest("a"))
        assert connection.getresponse().status == 200
        connection.close()
        assert simulator.url == f"https://127.0.0.1:{simulator.port}"


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulator")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    paths[1].write_bytes(private)
    return paths


VERB = """
import argparse, sys
from bridge.cli.verbs import simulate
parser = argparse.ArgumentParser()
simulate.add_options(parser.add_subparsers().add_parser("simulate"))
args = parser.parse_args(["simulate", *sys.argv[1:]])
sys.exit(args.handler(args))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_verb_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    """It prints one line with its real URL, does what its options say, and ends with 0, even while it is away."""
    options = ["--argo-version", "3.6", "--token", "T", "--archive", "--crash-seconds", "600"]
    command = [sys.executable, "-c", VERB, "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[-1]
        token = {"Authorization": "Bearer T"}
        assert call(url, "GET", "/api/v1/version", headers=token).value["version"] == "v3.6.19"
        answer = call(url, "GET", "/api/v1/archived-workflows/u", headers=token)
        assert answer.status == 404  # there is an archive, and nothing in it
        assert call(url, "POST", CREATE, body=manifest("a"), headers=token).status == 200
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            call(url, "GET", f"{CREATE}/a/log", headers=token)
        with pytest.raises(ConnectionError):
            call(url, "GET", "/api/v1/version", headers=token)
        process.send_signal(number)
        assert process.wait(scaled(10)) == 0
        assert process.stdout.read() == ""
    assert line == f"simulating Argo Server v3.6.19 on {url}\n"


def test_the_verb_tells_what_is_wrong() -> None:
    """An address in use is exit code 1 and one line; wrong arguments are 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-c", VERB, "--listen", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"argo-bridge simulate: cannot listen on {address}: ")
    for wrong in (["--listen", "nope"], ["--argo-version", "2.9"], ["--namespaces", ","]):
        command = [sys.executable, "-c", VERB, *wrong]
        assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 2
