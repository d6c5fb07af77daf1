"""Describes problems of an AMQP connection in sentences that say what to do. Pure; runs anywhere."""

from __future__ import annotations

import re

from pika import exceptions
from pika.adapters.utils.connection_workflow import (
    AMQPConnectionWorkflowFailed,
    AMQPConnectorPhaseErrorBase,
    AMQPConnectorStackTimeout,
)

from bridge.core.errors import cut
from bridge.core.model import HealthProblem
from bridge.transports.amqp.options import AmqpLogin, AmqpOptions, virtual_host
from bridge.transports.broker import Broker, unreachable

# Source: AMQP 0-9-1 section 1.4.2 (reply codes).
CONNECTION_FORCED = 320
ACCESS_REFUSED = 403
NOT_FOUND = 404
PRECONDITION_FAILED = 406

WRONG_EXCHANGE_TYPE = "wrong-exchange-type"
NOT_DECLARED = "not-declared"
NOT_CONSUMED = "not-consumed"

_TYPE = re.compile(r"inequivalent arg 'type' for exchange .*?: received '([^']+)' but current is '([^']+)'", re.DOTALL)
_ARGUMENT = re.compile(r"inequivalent arg '([^']+)' for (queue|exchange) '([^']+)'.*?: (received .*)", re.DOTALL)


def _cause(error: BaseException) -> BaseException:
    """Return the error wrapped by pika."""
    while True:
        if isinstance(error, AMQPConnectionWorkflowFailed) and error.exceptions:
            error = error.exceptions[-1]
        elif isinstance(error, AMQPConnectorPhaseErrorBase) and isinstance(error.exception, BaseException):
            error = error.exception
        elif type(error) is exceptions.AMQPConnectionError and error.args and isinstance(error.args[0], BaseException):
            error = error.args[0]
        else:
            return error


def connect_failed(error: BaseException, options: AmqpOptions, broker: Broker) -> HealthProblem:
    """Return the problem for a connection that could not be opened."""
    cause = _cause(error)
    if isinstance(cause, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
        return _not_authorized(options, broker, cause)
    if isinstance(cause, exceptions.ProbableAccessDeniedError):
        text = f'broker {broker} refused virtual host "{virtual_host(options.url)}": {_text(cause)}'
        return HealthProblem("vhost-refused", f"{text}; check the path of url, and the user's access to it")
    if isinstance(cause, exceptions.ConnectionClosedByBroker):
        return closed(cause, options, broker)
    if isinstance(cause, exceptions.IncompatibleProtocolError | exceptions.StreamLostError):
        text = f"broker {broker} closed the connection before accepting it; check that this is an AMQP 0-9-1 port"
        return HealthProblem("refused", f"{text}{'' if broker.has_tls else ', and whether it needs amqps://'}?")
    return unreachable(broker, TimeoutError() if isinstance(cause, AMQPConnectorStackTimeout) else cause, _text(cause))


def _not_authorized(options: AmqpOptions, broker: Broker, cause: BaseException) -> HealthProblem:
    if options.login is AmqpLogin.CERTIFICATE:
        who, hint = "the certificate", "check tls.cert, and the plugin rabbitmq_auth_mechanism_ssl"
    else:
        who, hint = f'user "{options.username or "guest"}"', "check username and password-file"
    return HealthProblem("not-authorized", f"broker {broker} refused the login of {who}: {_text(cause)}; {hint}")


def closed(error: BaseException, options: AmqpOptions, broker: Broker) -> HealthProblem:
    """Return the problem for a connection that has ended."""
    if isinstance(error, exceptions.ConnectionClosedByBroker):
        if error.reply_code == CONNECTION_FORCED:
            return HealthProblem("connection-forced", f"broker {broker} closed the connection: {_text(error)}")
        if error.reply_code == ACCESS_REFUSED:
            return _not_authorized(options, broker, error)
        return HealthProblem("disconnected", f"broker {broker} closed the connection: {_text(error)}")
    if isinstance(error, exceptions.AMQPHeartbeatTimeout):
        text = f"the connection to broker {broker} was lost: nothing was heard for {options.heartbeat_s:.0f} s"
        return HealthProblem("heartbeat-lost", text)
    return HealthProblem("connection-lost", f"the connection to broker {broker} was lost: {_text(error)}")


def refused(what: str, code: int, text: str) -> HealthProblem:
    """Return the problem for `what` (``queue "argo-bridge.plant.requests"``), refused with a reply code and text."""
    shown = cut(text)
    if code == PRECONDITION_FAILED and (found := _TYPE.search(text)):
        return wrong_exchange_type(what, found[1], f"it is a {cut(found[2], 64)} exchange")
    if code == PRECONDITION_FAILED:
        found = _ARGUMENT.search(text)
        why = f"argument {found[1]} differs: {cut(found[4])}" if found else shown
        hint = "delete it, set the argument by a policy, or set declare: check to use it as it is"
        return HealthProblem("declared-otherwise", f"{what} exists with other arguments: {why}; {hint}")
    if code == ACCESS_REFUSED:
        return HealthProblem("not-permitted", f"{what}: {shown}; grant the rights in config/rabbitmq")
    if code == NOT_FOUND:
        hint = "create it, or let the bridge create it (declare: create, and queue-arguments for your own queue)"
        return HealthProblem(NOT_DECLARED, f"{what} does not exist: {shown}; {hint}")
    return HealthProblem("queue-refused", f"{what}: {shown}")


def wrong_exchange_type(what: str, wanted: str, why: str) -> HealthProblem:
    """Return the problem of an exchange that must be of type `wanted`; `why` says how that is known."""
    hint = "use another exchange, or delete this one and let the bridge create it"
    return HealthProblem(WRONG_EXCHANGE_TYPE, f"{what} must be a {wanted} exchange: {why}; {hint}")


def not_consumed(queue: str) -> HealthProblem:
    """Return the problem of a queue that has no consumer, or does not exist."""
    text = f'queue "{queue}" has no consumer: its bridge is not running, or still starting'
    return HealthProblem(NOT_CONSUMED, text)


def blocked(reason: str, broker: Broker) -> HealthProblem:
    """Return the problem of a broker that currently accepts no messages."""
    text = f"broker {broker} accepts no messages until its alarm is over: {cut(reason)}"
    return HealthProblem("blocked", f"{text}; replies and status wait, events are consumed")


def _text(error: BaseException) -> str:
    reply = getattr(error, "reply_text", "")
    if reply:
        return cut(str(reply))
    words = "; ".join(str(each) for each in error.args) or type(error).__name__
    return cut(words)
