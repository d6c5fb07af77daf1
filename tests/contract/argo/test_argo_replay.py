"""Recorded exchanges of five real Argo releases, sent to the simulator: it answers what the real server answered."""

from __future__ import annotations

import contextlib
import http.client
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from argo_recordings import (
    Answer,
    Exchange,
    assert_alike,
    assert_headers,
    call,
    frames_of,
    read_exchanges,
    replay,
    steady,
    steady_frame,
    token_for,
)

from bridge.simulator import Identity, Simulator, SimulatorOptions

SUBJECT = "system:serviceaccount:argo:"
# Sent to a server that took tokens and no tokens alike, which the simulator does not play.
HYBRID = {"bad token", "no scheme"}


def ended(simulator: Simulator, *names: str) -> None:
    """Wait until workflows have ended."""

    def all_ended(_: Simulator) -> bool:
        found = [simulator.workflow("argo", name) for name in names]
        return all(workflow is not None and workflow["status"]["finishedAt"] for workflow in found)

    simulator.wait_for(all_ended)


def test_creates_are_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """Every recorded create, good or bad, gets the recorded status, text, body and order of keys."""
    for exchange in read_exchanges(release, "create").values():
        assert_alike(replay(simulator.url, exchange), exchange)


def test_information_is_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """Version, info, userinfo, unknown routes and paths outside the API answer as recorded."""
    for name, exchange in read_exchanges(release, "info").items():
        if name in HYBRID:
            continue
        answer = replay(simulator.url, exchange)
        if name == "outside api" and exchange.response["body"]["__text__"]:
            assert answer.status == 200
            assert b"<html>" in answer.body
            assert_headers(answer, exchange.response["headers"], name)
        else:
            assert_alike(answer, exchange)


def test_bad_and_empty_lists_are_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """A list of nothing is `items: null`; selectors and continue that are wrong get the recorded text."""
    exchanges = read_exchanges(release, "list")
    for name in ("empty", "bad selector", "bad continue", "bad field selector"):
        assert_alike(replay(simulator.url, exchanges[name]), exchanges[name])


def test_list_pages_have_the_recorded_shape(simulator: Simulator, release: str) -> None:
    """Pages tell `continue` and the remaining count exactly when the release does, and cut items to their shells."""
    minimal = read_exchanges(release, "create")["generateName"]
    for _ in range(13):
        replay(simulator.url, minimal)
    exchanges = read_exchanges(release, "list")
    for name in ("limit 2", "limit 2 with remaining", "all"):
        exchange = exchanges[name]
        answer = replay(simulator.url, exchange)
        wanted = exchange.response["body"]
        assert answer.status == 200
        assert steady(answer.value["metadata"]) == steady(wanted["metadata"])
        assert_headers(answer, exchange.response["headers"], name)
        got_items, wanted_items = answer.value["items"], wanted["items"]
        assert len(got_items) == len(wanted_items)
        for got in got_items:
            assert _keys(got) == _keys(wanted_items[0]) or "phase" not in got["status"]


def _keys(value: Any) -> Any:
    return {key: _keys(item) for key, item in value.items()} if isinstance(value, dict) else None


def test_templates_are_answered_as_recorded(simulator: Simulator, release: str) -> None:
    """Templates are stored, shown, missed, submitted and referred to as recorded; so are workflows that are linted."""
    exchanges = read_exchanges(release, "templates")
    listed = exchanges.pop("list templates")
    for exchange in exchanges.values():
        assert_alike(replay(simulator.url, exchange), exchange)
    answer = replay(simulator.url, listed)
    wanted = listed.response["body"]
    assert steady(answer.value["metadata"]) == steady(wanted["metadata"])
    assert [item["metadata"]["name"] for item in answer.value["items"]] == [wanted["items"][-1]["metadata"]["name"]]
    assert _keys(answer.value["items"][0]["spec"]) == _keys(wanted["items"][-1]["spec"])


def test_rights_are_answered_as_recorded(release: str) -> None:
    """Four callers, from one who may create to one whom nobody knows, get the recorded refusals on every endpoint."""
    good, nobody = token_for(SUBJECT + "bridge"), token_for(SUBJECT + "nobody")
    tokens = {
        "may create and read": good,
        "may nothing": nobody,
        "malformed": "garbage",
        "expired or unknown": "un.kn-own.token",
    }
    identities = (
        Identity(good, SUBJECT + "bridge", {"argo": frozenset({"create", "get", "list", "watch"})}),
        Identity(nobody, SUBJECT + "nobody", {}, read_templates=False),
    )
    options = SimulatorOptions(
        argo_version=release,
        identities=identities,
        namespaces=frozenset({"argo", "other"}),
        list_lag_s=0.0,
        reaction_s=60.0,
    )
    template = read_exchanges(release, "templates")["create template"].request["body"]["template"]
    with Simulator(options) as simulator:
        simulator.put_template("argo", template)
        for name, exchange in read_exchanges(release, "auth").items():
            who, what = name.split(": ")
            headers = {"Authorization": f"Bearer {tokens[who]}"}
            if who == "may create and read" and what == "watch":
                continue  # a stream that never says anything
            request = exchange.request
            answer = call(
                simulator.url, request["method"], request["path"],
                params=request.get("params"), body=exchange.body, headers=headers,
            )  # fmt: skip
            if what == "watch":
                assert answer.status == exchange.response["status"], name
                assert [answer.body.decode()] == [frame["bytes"] for frame in exchange.response["frames"]], name
            elif what == "get" and exchange.response["status"] == 200:
                assert answer.status == 200  # taken before or after the controller's first write
            else:
                assert_alike(answer, exchange)
        assert simulator.unexpected == []


@pytest.mark.parametrize(("name", "workflow"), [("get ok", "ok"), ("get bad", "bad"), ("get exit", "exit")])
def test_finished_workflows_look_as_recorded(simulator: Simulator, release: str, name: str, workflow: str) -> None:
    """Nodes, phases, messages, progress, labels and conditions of finished workflows are those of a real one."""
    exchange = read_exchanges(release, "pods")[name]
    assert exchange.request["path"].rsplit("/", 1)[1].startswith(workflow)
    run_like(simulator, exchange)
    assert_alike(replay(simulator.url, exchange), exchange)


def test_a_workflow_that_ran_too_long_looks_as_recorded(release: str) -> None:
    """A deadline fails what runs, with the recorded messages, and leaves no exit code."""
    exchange = read_exchanges(release, "pods")["get slow"]
    with Simulator(SimulatorOptions(argo_version=release, container_s=600.0)) as simulator:
        run_like(simulator, exchange)
        assert_alike(replay(simulator.url, exchange), exchange)


def run_like(simulator: Simulator, exchange: Exchange) -> None:
    """Create the workflow whose GET was recorded, and wait for its end."""
    recorded = exchange.response["body"]
    name = recorded["metadata"]["name"]
    body = {"workflow": {"metadata": {"name": name}, "spec": recorded["spec"]}}
    created = Exchange("create", {"method": "POST", "path": "/api/v1/workflows/argo", "body": body}, {})
    assert replay(simulator.url, created).status == 200
    ended(simulator, name)


@pytest.mark.parametrize("name", ["bad selector", "old resource version"])
def test_watches_that_cannot_start_are_answered_as_recorded(simulator: Simulator, release: str, name: str) -> None:
    """A bad selector and a resource version that is too old give the recorded status and the stream's error shape."""
    exchange = read_exchanges(release, "watch")[name]
    answer = replay(simulator.url, exchange)
    assert answer.status == exchange.response["status"]
    assert steady_frame(answer.body) == steady_frame(exchange.response["frames"][0]["bytes"].encode())
    assert_headers(answer, exchange.response["headers"], name)


def test_a_watch_that_ends_before_any_frame_is_a_429(simulator: Simulator, release: str) -> None:
    """The normal end of a watch that never said anything has status 429 and the text EOF, in both framings."""
    exchanges = read_exchanges(release, "watch")
    changed = {"listOptions.resourceVersion": "100", "listOptions.timeoutSeconds": "1"}
    names = ("timeoutSeconds ends it", "timeoutSeconds ends it, json")
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda name: replay(simulator.url, exchanges[name], **changed), names))
    for name, answer in zip(names, answers, strict=True):
        recorded = exchanges[name].response
        assert answer.status == recorded["status"]
        assert answer.body.decode() == recorded["frames"][0]["bytes"]
        assert_headers(answer, recorded["headers"], name)


def watch_all(simulator: Simulator, exchange: Exchange) -> Answer:
    """Send a recorded watch from the beginning of history, and end it as kube ends one."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(replay, simulator.url, exchange, **{"listOptions.resourceVersion": "100"})
        simulator.wait_for(lambda sim: sim.stats()["watches"] == 1)
        assert simulator.end_watches("eof") == 1
        return answer.result()


@pytest.mark.parametrize("name", ["json mode", "sse mode"])
def test_watch_frames_are_those_recorded(simulator: Simulator, release: str, name: str) -> None:
    """ADDED, the MODIFIED of a life in two steps, and DELETED come with the recorded bytes and framing."""
    exchange = read_exchanges(release, "watch")[name]
    sse = name == "sse mode"
    frames = [frame["bytes"].encode() for frame in exchange.response["frames"]]
    first = _name_in(frames[0])
    wanted = [steady_frame(frame) for frame in frames if first.encode() in frame]
    wait = {"name": "wait", "suspend": {"duration": "0.1s"}}
    steps = {"name": "main", "steps": [[{"name": f"s{i}", "template": "wait"}] for i in range(2)]}
    spec = {"entrypoint": "main", "templates": [steps, wait]}
    body = {"workflow": {"metadata": {"name": first}, "spec": spec}}
    created = Exchange("create", {"method": "POST", "path": "/api/v1/workflows/argo", "body": body}, {})
    assert replay(simulator.url, created).status == 200
    ended(simulator, first)
    simulator.delete("argo", first)
    answer = watch_all(simulator, exchange)
    assert answer.status == 200
    assert_headers(answer, exchange.response["headers"], name)
    got = [steady_frame(frame) for frame in frames_of(answer.body, sse=sse)]
    assert got[: len(wanted)] == wanted
    last = read_exchanges(release, "watch")["timeoutSeconds after frames"].response["frames"][-1]["bytes"].encode()
    assert got[-1] == (last if sse else last.removeprefix(b"data: ").removesuffix(b" \n\n"))


def _name_in(frame: bytes) -> str:
    return frame.decode().split('"name":"')[1].split('"')[0]


def test_bookmarks_are_those_recorded(simulator: Simulator, release: str) -> None:
    """A bookmark has the recorded bytes, once it was asked for (4.0.10 was not watched for long enough to show one)."""
    exchange = read_exchanges(release, "watch")["bookmarks"]
    shown = read_exchanges("4.1.2" if release == "4.0.10" else release, "watch")["bookmarks"].response["frames"]
    wanted = next(frame["bytes"].encode() for frame in shown if "BOOKMARK" in frame["bytes"])
    request, params = exchange.request, exchange.request["params"] | {"listOptions.resourceVersion": "100"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=30)) as connection:
        connection.request("GET", f"{request['path']}?{urlencode(params)}", headers=request["headers"])
        response = connection.getresponse()
        first = response.readline()
        simulator.end_watches("eof")
        got = frames_of(first + response.read(), sse=True)
    assert steady_frame(got[0]) == steady_frame(wanted)
