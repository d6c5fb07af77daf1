"""``argo-bridge send``: publishes a trigger message or a sensor message, and tells what came of it.

Replies go to standard output as JSON, words for people to standard error. It visits the broker under a client id of
its own and leaves nothing behind. Thread: the main thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from bridge.cli import exit_codes
from bridge.cli.broker_visit import BrokerVisit, visitor_options
from bridge.cli.send_follow import StartedWorkflows, follow_named, follow_started
from bridge.cli.send_listeners import Listening, listening_to
from bridge.cli.send_request import Question, Reply, full_topic
from bridge.cli.send_view import SendView
from bridge.configfile.problems import Problems
from bridge.configfile.quantities import parse_duration
from bridge.core import log
from bridge.core.errors import ConfigError
from bridge.core.model import OutgoingMessage
from bridge.core.topic_filter import name_problem
from bridge.interface.topics import Request, Topics
from bridge.mapping.definition import read_definitions
from bridge.service.options import mqtt_options
from bridge.settings import Settings
from bridge.settings.loading import LoadedSettings, load_settings
from bridge.transports.mqtt import MqttOptions, MqttVersion

_EPILOG = """examples:
  argo-bridge send --config bridge.yaml trigger @trigger.json --wait
  argo-bridge send --config bridge.yaml trigger/factory '{"submit": {"template": "inspect-boiler"}}'
  argo-bridge send --config bridge.yaml sensors/hall-1/boiler/7/temperature '{"value": 95.2, "seq": 1}' --wait

exit codes:
  0  the reply is a success, or the broker took the sensor message; with --wait: every workflow Succeeded
  1  refused; with --wait also: a workflow Failed, ended in Error or was deleted; or the broker cannot be reached
  2  wrong usage
  4  no answer in time; with --wait also: no workflow started, or none ended, in time
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command."""
    parser = subparsers.add_parser(
        "send",
        help="send a trigger message or a sensor message, and follow what it starts",
        description="Publish one message at the bridge's broker. A request (trigger, ...) waits for its reply and "
        "prints it as JSON; with --wait the workflow is followed to its end.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", type=Path, required=True, help="the bridge.yaml of the bridge")
    parser.add_argument("--connection", metavar="NAME", help="which of its connections, where it has several")
    parser.add_argument("--wait", action="store_true", help="follow the workflow to its end")
    parser.add_argument(
        "--timeout",
        metavar="DURATION",
        type=_duration,
        default=30.0,
        help="for all of it, e.g. 10s or 5m (default 30s)",
    )
    parser.add_argument(
        "topic", metavar="TOPIC", type=_topic, help="a topic, or trigger, or trigger/NAMESPACE under the prefix"
    )
    parser.add_argument("payload", metavar="PAYLOAD", help="text, @FILE, or - for standard input")
    parser.set_defaults(handler=run_send)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is sent where.

    Attributes:
        settings: the bridge's.
        topics: likewise.
        options: how to reach its broker.
        message: what to publish.
        question: the same as a request, None for a sensor message.
        listeners: the mappings that a sensor message may fire; None where the mapping files cannot tell.
        wait: whether to follow what it starts.
        until_s: when to give up, on the monotonic clock.
    """

    settings: Settings
    topics: Topics
    options: MqttOptions
    message: OutgoingMessage
    question: Question | None
    listeners: tuple[Listening, ...] | None
    wait: bool
    until_s: float

    @property
    def left_s(self) -> float:
        """Seconds until it is time to give up."""
        return max(0.0, self.until_s - time.monotonic())


def run_send(args: argparse.Namespace) -> int:
    """Send one message; see the epilog for the exit codes."""
    until_s = time.monotonic() + args.timeout
    problems = Problems()
    loaded = load_settings(args.config, os.environ, problems)
    if loaded.settings is None:
        for problem in problems.in_order():
            print(problem.render(), file=sys.stderr)
        return exit_codes.PROBLEMS
    log.configure("console", "error")
    plan = _plan(args, loaded, loaded.settings, until_s)
    with BrokerVisit(plan.options) as visit, SendView() as view:
        return _ask(plan, plan.question, visit, view) if plan.question else _inform(plan, visit, view)


def _plan(args: argparse.Namespace, loaded: LoadedSettings, settings: Settings, until_s: float) -> _Plan:
    topics = Topics(settings.interface.prefix, settings.bridge.id)
    options = _options(settings, args.connection, topics)
    topic, payload = full_topic(args.topic, topics), _payload(args.payload)
    request = topics.parse(topic)
    question = None
    if isinstance(request, Request):
        question = Question(
            topic,
            request,
            payload,
            reply_topic=topics.response(request.operation),
            max_payload_bytes=settings.interface.max_payload_bytes,
            has_properties=options.version is MqttVersion.V5,
        )
    return _Plan(
        settings=settings,
        topics=topics,
        options=options,
        message=question.message if question else OutgoingMessage(topic, payload),
        question=question,
        listeners=None if question else _listeners(loaded, topic, options.name),
        wait=args.wait,
        until_s=until_s,
    )


def _listeners(loaded: LoadedSettings, topic: str, connection: str) -> tuple[Listening, ...] | None:
    problems = Problems()
    definitions = read_definitions(loaded.mapping_files, problems)
    return None if problems.has_errors else listening_to(topic, connection, definitions)


def _options(settings: Settings, name: str | None, topics: Topics) -> MqttOptions:
    names = ", ".join(settings.connections)
    if name is None and len(settings.connections) > 1:
        raise ConfigError(
            f"choose a connection: there are {names}", code="unknown-connection", hint="name one with --connection"
        )
    chosen = name if name is not None else next(iter(settings.connections))
    connection = settings.connections.get(chosen)
    if connection is None:
        raise ConfigError(f'choose connection "{chosen}": there are {names}', code="unknown-connection")
    if connection.mqtt is None:
        raise ConfigError(f'choose connection "{chosen}": it is no MQTT connection', code="unknown-connection")
    return visitor_options(mqtt_options(settings, chosen, connection.mqtt, topics), "argo-bridge-send")


def _ask(plan: _Plan, question: Question, visit: BrokerVisit, view: SendView) -> int:
    """Send a request, print its reply, and follow the workflow if that is wanted."""
    visit.subscribe(live=frozenset({question.reply_topic}))
    view.wait_for("connecting")
    visit.await_ready(plan.left_s)
    visit.publish(plan.message, plan.left_s)
    view.wait_for(f"waiting for the reply on {question.reply_topic}")
    reply = _reply(plan, question, visit)
    if reply is None:
        why = visit.problem.message if visit.problem else "is the bridge running? its log tells what it received"
        view.say(f"no reply in time on {question.reply_topic}: {why}")
        return exit_codes.NO_ANSWER
    view.replied(reply)
    print(orjson.dumps(reply.body).decode(), flush=True)
    if reply.error:
        return exit_codes.PROBLEMS
    if not plan.wait:
        return exit_codes.OK
    if not reply.workflow:
        view.say("the reply names no workflow, so there is nothing to wait for")
        return exit_codes.OK
    namespace = question.namespace(plan.settings.argo.namespaces[0])
    return follow_named(visit, plan.topics.status_of(namespace, reply.workflow), view, plan.until_s)


def _reply(plan: _Plan, question: Question, visit: BrokerVisit) -> Reply | None:
    while plan.left_s > 0:
        message = visit.next(plan.left_s)
        reply = question.reply_in(message) if message is not None else None
        if reply is not None:
            return reply
    return None


def _inform(plan: _Plan, visit: BrokerVisit, view: SendView) -> int:
    """Send a sensor message, and follow what it starts if that is wanted."""
    started = StartedWorkflows(plan.settings.bridge.id, plan.listeners)
    if plan.wait:
        visit.subscribe(retained=frozenset({plan.topics.retained_filter}) | started.device_topics)
    view.wait_for("connecting")
    visit.await_ready(plan.left_s)
    while (message := visit.next(0)) is not None:
        started.take(message, time.monotonic())
    started.sent()
    visit.publish(plan.message, plan.left_s)
    if plan.wait:
        return follow_started(visit, started, view, plan.until_s)
    view.say(f"the broker took it on {plan.message.topic}; --wait follows what it starts")
    return exit_codes.OK


def _payload(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"read payload {text[1:]}: {error.strerror}", code="unreadable-file") from error


def _duration(text: str) -> float:
    seconds = parse_duration(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 10s or 5m")
    return seconds


def _topic(text: str) -> str:
    problem = name_problem(text)
    if problem:
        raise argparse.ArgumentTypeError(f"{text!r} is not a topic: {problem}")
    return text
