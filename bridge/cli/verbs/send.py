"""``argo-bridge send``: publishes a trigger message or a sensor message, and prints the result.

Replies go to standard output as JSON, progress messages to standard error. It connects to the broker with its own
client id and leaves nothing behind. Thread: the main thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from bridge.cli import exit_codes
from bridge.cli.views.send import SendView
from bridge.cli.views.status import tell_present
from bridge.cli.visit.asking import Asking, await_bridge, left_s
from bridge.cli.visit.broker import BrokerVisit
from bridge.cli.visit.follow import NamedWorkflow, StartedWorkflows, follow_named, follow_started
from bridge.cli.visit.listeners import Listening, listening_to
from bridge.cli.visit.request import Question, full_topic
from bridge.cli.visit.target import Target, add_target_options, add_timeout, read_target
from bridge.configfile.problems import Problems
from bridge.core.errors import ConfigError
from bridge.core.foreign import harmless_json
from bridge.core.model import OutgoingMessage
from bridge.core.topic_filter import name_problem
from bridge.interface.topics import Request
from bridge.mapping.definition import read_definitions
from bridge.settings.loading import LoadedSettings

_EPILOG = """examples:
  argo-bridge send --config bridge.yaml trigger @trigger.json --wait
  argo-bridge send --config bridge.yaml trigger/factory '{"submit": {"template": "inspect-boiler"}}'
  argo-bridge send --config bridge.yaml sensors/hall-1/boiler/7/temperature '{"value": 95.2, "seq": 1}' --wait
  argo-bridge send --config bridge.yaml plant/pump/7 @reading.cbor
  argo-bridge send --config bridge.yaml mes/events '{"scrap": 3}' --content-type application/json \\
    --header specversion=1.0 --header id=1 --header source=/line/7 --header type=done

exit codes:
  0  the reply is a success, or the broker accepted the sensor message; with --wait: every workflow Succeeded
  1  refused; with --wait also: a workflow Failed, ended in Error or was deleted; or the broker cannot be reached
  2  wrong usage
  4  no reply in time; with --wait also: no workflow started or finished in time
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Publish one message to the bridge's broker. For a request (trigger, ...), wait for the reply and "
        "print it as JSON; with --wait, follow the workflow until it finishes. Both wait for a bridge that is "
        "still starting; a sensor message without --wait is published at once."
    )
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_target_options(parser)
    parser.add_argument("--wait", action="store_true", help="follow the workflow until it finishes")
    add_timeout(parser, "time limit for the whole command, e.g. 10s or 5m")
    parser.add_argument("--content-type", metavar="TYPE", default="", help="the message's content type")
    parser.add_argument(
        "--header",
        metavar="NAME=VALUE",
        type=_header,
        action="append",
        default=[],
        help="a user property (MQTT 5.0) or header (AMQP) of the message; may be repeated",
    )
    parser.add_argument(
        "topic",
        metavar="TOPIC",
        type=_topic,
        help="a topic; trigger and trigger/NAMESPACE stand for topics under the prefix",
    )
    parser.add_argument("payload", metavar="PAYLOAD", help="text, @FILE, or - for standard input")
    parser.set_defaults(handler=run_send)


def run_send(args: argparse.Namespace) -> int:
    """Send one message; see the epilog for the exit codes."""
    until_s = time.monotonic() + args.timeout
    target = read_target(args, "argo-bridge-send")
    if target is None:
        return exit_codes.PROBLEMS
    topic, payload = full_topic(args.topic, target.topics), _payload(args.payload)
    request = target.topics.parse(topic)
    properties: dict[str, Any] = {"content_type": args.content_type, "user": tuple(args.header)}
    if any(properties.values()) and not target.has_properties:
        raise ConfigError("send message: MQTT 3.1.1 has neither headers nor a content type", code="bad-value")
    with target.visit() as visit, SendView() as view:
        if isinstance(request, Request):
            question = target.question_at(topic, request, payload)
            question.message = replace(question.message, **properties)
            return _ask(target, question, visit, view, until_s, wait=args.wait)
        message = OutgoingMessage(topic, payload, **properties)
        return _inform(target, message, visit, view, until_s, wait=args.wait)


def _ask(target: Target, question: Question, visit: BrokerVisit, view: SendView, until_s: float, *, wait: bool) -> int:
    """Send a request, print its reply, and with --wait follow the workflow."""
    reply = Asking(question, visit, view, until_s).ask()
    if reply is None:
        return exit_codes.NO_ANSWER
    view.replied(reply)
    print(harmless_json(orjson.dumps(reply.body).decode()), flush=True)
    if reply.error:
        return exit_codes.PROBLEMS
    if not wait:
        return exit_codes.OK
    if not reply.workflow:
        view.say("the reply names no workflow; there is nothing to wait for")
        return exit_codes.OK
    namespace = question.namespace(target.default_namespace)
    followed = NamedWorkflow(target.topics.status_of(namespace, reply.workflow))
    tell_present(target, visit, view, followed, until_s)
    return follow_named(visit, followed, view, until_s)


def _inform(
    target: Target, message: OutgoingMessage, visit: BrokerVisit, view: SendView, until_s: float, *, wait: bool
) -> int:
    """Send a sensor message, and with --wait follow the workflows it starts."""
    topics = target.topics
    listeners = _listeners(target.loaded, message.topic, target.options.name)
    started = StartedWorkflows(target.settings.bridge.id, listeners, topics.state)
    if wait:
        visit.subscribe(retained=frozenset({topics.retained_filter}) | started.device_topics)
    view.wait_for("connecting")
    visit.await_ready(left_s(until_s))
    if wait and not await_bridge(visit, view, until_s):
        return exit_codes.NO_ANSWER
    while (earlier := visit.next(0)) is not None:
        started.take(earlier, time.monotonic())
    started.sent()
    visit.publish(message, left_s(until_s))
    if wait:
        return follow_started(visit, started, view, until_s)
    view.say(f"the broker accepted it on {message.topic}; --wait follows the workflow it starts")
    return exit_codes.OK


def _listeners(loaded: LoadedSettings, topic: str, connection: str) -> tuple[Listening, ...] | None:
    """Return the mappings that a sensor message may trigger; None if the mapping files are invalid."""
    problems = Problems()
    definitions = read_definitions(loaded.mapping_files, problems)
    return None if problems.has_errors else listening_to(topic, connection, definitions)


def _payload(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigError(f"read payload {text[1:]}: {error.strerror}", code="unreadable-file") from error


def _header(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _topic(text: str) -> str:
    problem = name_problem(text)
    if problem:
        raise argparse.ArgumentTypeError(f"{text!r} is not a topic: {problem}")
    return text
