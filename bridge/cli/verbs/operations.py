"""``argo-bridge stop``, ``retry``, ``get``, ...: one verb for each operation by message, except `logs`.

Each sends a request to the running bridge through its broker, like any other client, and prints the reply. Results go
to standard output, progress messages to standard error. Thread: the main thread.
"""

from __future__ import annotations

import argparse
import sys
import time

import orjson

from bridge.cli import exit_codes
from bridge.cli.views.operations import cut_note, reply_lines
from bridge.cli.views.send import SendView
from bridge.cli.views.status import tell_present
from bridge.cli.visit.asking import Asking
from bridge.cli.visit.follow import NamedWorkflow, follow_named
from bridge.cli.visit.manifest_file import read_manifest
from bridge.cli.visit.operation_arguments import add_operation_options, operation_body
from bridge.cli.visit.request import Question, Reply
from bridge.cli.visit.target import Target, add_target_options, add_timeout, read_target
from bridge.core.foreign import harmless_json
from bridge.core.topic_filter import name_problem
from bridge.interface.operations import NAMED, OPERATION_MAX_AGE_S, Operation, OperationSpec

PURPOSE = "argo-bridge-ask"
_CODES = """exit codes:
  0  done{end}
  1  refused or failed{bad}; or the broker cannot be reached
  2  wrong usage
  4  no reply in time{late}
"""


def add_options(parser: argparse.ArgumentParser, spec: OperationSpec) -> None:
    """Describe the verb, and add its options."""
    add_operation(parser, spec, _epilog(spec))
    if spec.can_wait:
        parser.add_argument("--wait", action="store_true", help="follow the workflow until it finishes")
    else:
        parser.set_defaults(wait=False)
    add_timeout(parser, "time limit for the whole command, e.g. 10s or 5m")
    parser.set_defaults(handler=run_operation)


def add_operation(parser: argparse.ArgumentParser, spec: OperationSpec, epilog: str) -> None:
    """Add what all operations have: description, bridge, namespace, name, and the operation's own options."""
    meaning = f"{spec.meaning[0].upper()}{spec.meaning[1:]}"
    parser.description = f"{meaning}. Sends the request to the running bridge through its broker."
    parser.epilog = epilog
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_target_options(parser)
    parser.add_argument(
        "-n", "--namespace", metavar="NAMESPACE", type=_level, help="namespace; default: the bridge's default namespace"
    )
    parser.add_argument("--json", action="store_true", help="print the reply as JSON, as the bridge sent it")
    if spec.name_key:
        parser.add_argument("name", metavar="NAME", help=f"{NAMED[spec.name_key].meaning}, or NAMESPACE/NAME")
    add_operation_options(parser, spec)
    parser.set_defaults(parser=parser, spec=spec)


def _epilog(spec: OperationSpec) -> str:
    if not spec.can_wait:
        return _CODES.format(end="", bad="", late="")
    return _CODES.format(
        end=f"; with --wait: and the workflow {'finished' if spec.ends else 'Succeeded'}",
        bad="" if spec.ends else "; with --wait also: the workflow Failed, ended in Error or was deleted",
        late="; with --wait also: the workflow did not finish in time",
    )


def subject_of(args: argparse.Namespace) -> tuple[str, str]:
    """Return the namespace and name that ``-n`` and ``NAME`` mean, "" for none, or exit with a usage error."""
    given = args.name if args.spec.name_key else ""
    namespace, slash, name = given.rpartition("/")
    if slash and (not namespace or not name or "/" in namespace):
        args.parser.error(f"{given!r} is neither NAME nor NAMESPACE/NAME")
    if slash and args.namespace and args.namespace != namespace:
        args.parser.error(f"-n says {args.namespace}, {given} says {namespace}")
    if args.spec.name_key and not name:
        args.parser.error("NAME is empty")
    return namespace or args.namespace or "", name


def question_of(args: argparse.Namespace, target: Target, namespace: str, name: str) -> Question:
    """Return the request for the parsed arguments and the result of `subject_of`."""
    spec: OperationSpec = args.spec
    body = operation_body(args, spec)
    if spec.name_key:
        body[spec.name_key] = name
    if "file" in args:
        body["workflow"] = read_manifest(args.file)
    return target.question(spec.operation, namespace, orjson.dumps(body))


def run_operation(args: argparse.Namespace) -> int:
    """Carry out one operation; see the epilog for the exit codes."""
    until_s = time.monotonic() + args.timeout
    namespace, name = subject_of(args)
    target = read_target(args, PURPOSE)
    if target is None:
        return exit_codes.PROBLEMS
    question = question_of(args, target, namespace, name)
    namespace = namespace or target.default_namespace
    with target.visit() as visit, SendView() as view:
        asking = Asking(question, visit, view, until_s)
        followed = _followed_before(args, target, namespace, name)
        reply = asking.ask(followed.topic if followed else "")
        if reply is None:
            return _unanswered(args.spec, asking, view)
        view.replied(reply)
        if reply.error:
            _print_json(args, reply)
            return exit_codes.PROBLEMS
        _tell(args, reply, namespace, view)
        if not args.wait:
            return exit_codes.OK
        if followed is None:
            followed = NamedWorkflow(target.topics.status_of(namespace, reply.workflow))
        for message in asking.aside:
            status = followed.take(message, time.monotonic())
            if status is not None:
                view.progressed(status)
        tell_present(target, visit, view, followed, until_s)
        return follow_named(visit, followed, view, until_s, any_end=args.spec.ends)


def _followed_before(args: argparse.Namespace, target: Target, namespace: str, name: str) -> NamedWorkflow | None:
    """Return the workflow to follow if it is known before the reply; then a quick end cannot be missed."""
    if not args.wait or args.spec.creates:
        return None
    topic = target.topics.status_of(namespace, name)
    return NamedWorkflow(topic, begins_anew=args.spec.operation is Operation.RETRY)


def _unanswered(spec: OperationSpec, asking: Asking, view: SendView) -> int:
    if asking.is_sent and spec.is_spooled:
        view.say(
            f"the bridge may still carry it out, up to {OPERATION_MAX_AGE_S / 60:.0f} minutes after it received it"
        )
    return exit_codes.NO_ANSWER


def _tell(args: argparse.Namespace, reply: Reply, namespace: str, view: SendView) -> None:
    if args.json:
        _print_json(args, reply)
        return
    for line in reply_lines(args.spec.operation, reply.body, namespace):
        print(line)
    sys.stdout.flush()
    note = cut_note(reply.body)
    if note:
        view.say(note)


def _print_json(args: argparse.Namespace, reply: Reply) -> None:
    if args.json:
        print(harmless_json(orjson.dumps(reply.body).decode()), flush=True)


def _level(text: str) -> str:
    if "/" in text or name_problem(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a namespace")
    return text
