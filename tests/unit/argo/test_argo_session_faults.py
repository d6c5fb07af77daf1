"""What the exceptions of `requests` stand for."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import NewConnectionError, ProtocolError
from urllib3.exceptions import SSLError as WrappedTlsError

from bridge.argo.errors import Fault
from bridge.argo.session import fault_of


def wrapped(cause: BaseException) -> requests.ConnectionError:
    """As `requests` gives it: urllib3's exception as an argument, with the cause as an argument of that."""
    return requests.ConnectionError(ProtocolError("Connection aborted.", cause))


def verification() -> ssl.SSLError:
    return ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")


CAUSES = [
    ("refused", ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), False, Fault.UNREACHABLE),
    ("no such host", socket.gaierror(-2, "Name or service not known"), False, Fault.UNREACHABLE),
    ("silent while connecting", TimeoutError("timed out"), False, Fault.UNREACHABLE),
    ("reset in the handshake", ConnectionResetError(errno.ECONNRESET, "reset by peer"), False, Fault.UNREACHABLE),
    ("cut in the handshake", ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), False, Fault.UNREACHABLE),
    ("certificate", verification(), False, Fault.TLS),
    ("no TLS", ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), False, Fault.TLS),
    ("refuses ours", ssl.SSLError(1, "tlsv13 alert certificate required"), True, Fault.TLS),
    ("does not know ours", ssl.SSLError(1, "tlsv1 alert unknown ca"), True, Fault.TLS),
    ("TLS broke later", ssl.SSLError(1, "decryption failed or bad record mac"), True, Fault.CUT),
    ("TLS ended later", ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), True, Fault.CUT),
    ("silent", TimeoutError("timed out"), True, Fault.TIMEOUT),
    ("reset", ConnectionResetError(errno.ECONNRESET, "reset by peer"), True, Fault.CUT),
    ("closed", http.client.RemoteDisconnected("closed without response"), True, Fault.CUT),
    ("cut in the body", http.client.IncompleteRead(b"{", 98), True, Fault.CUT),
    ("cut in the status line", http.client.BadStatusLine("HTTP/1.1 2"), True, Fault.CUT),
    ("cut in its first word", http.client.BadStatusLine("HTT"), True, Fault.CUT),
    ("mail", http.client.BadStatusLine("220 mail.example ESMTP\r\n"), True, Fault.NOT_HTTP),
    ("ssh", http.client.BadStatusLine("SSH-2.0-x"), True, Fault.NOT_HTTP),
    ("another HTTP", http.client.UnknownProtocol("HTTP/9.9"), True, Fault.NOT_HTTP),
]


@pytest.mark.parametrize(("cause", "sent", "fault"), [row[1:] for row in CAUSES], ids=[row[0] for row in CAUSES])
def test_the_cause_decides(cause, sent, fault):
    """However deep the libraries wrap it; the text is the cause's, not that of the wrappers."""
    found, text = fault_of(wrapped(cause), is_sent=sent)
    assert found is fault
    assert str(cause) in text
    assert "Connection aborted" not in text


def test_causes_are_found_in_chains_too():
    """By `from`, and by the context in which an exception was raised."""
    middle = WrappedTlsError("middle")
    middle.__cause__ = verification()
    error = requests.ConnectionError("outermost")
    error.__context__ = middle
    assert fault_of(error, is_sent=False)[0] is Fault.TLS


def test_what_the_caller_handles_is_no_cause():
    """Python makes it the context of what is raised meanwhile."""
    outer = TimeoutError("somebody else's")
    error = wrapped(ConnectionResetError(errno.ECONNRESET, "reset by peer"))
    error.__context__ = outer
    assert fault_of(error, is_sent=True)[0] is Fault.TIMEOUT
    assert fault_of(error, is_sent=True, outer=outer)[0] is Fault.CUT


def test_a_chain_that_bites_its_tail_ends():
    """Exceptions may refer to each other."""
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert fault_of(first, is_sent=True) == (Fault.CUT, "first")


def test_an_exception_without_text_has_a_name():
    """A message is never empty."""
    assert fault_of(NewConnectionError.__new__(NewConnectionError), is_sent=False)[1]
    assert fault_of(http.client.ResponseNotReady(), is_sent=True)[1] == "ResponseNotReady"


@given(line=st.text(max_size=40))
def test_no_status_line_makes_it_raise(line):
    """A first line is never taken for a timeout or a certificate."""
    assert fault_of(http.client.BadStatusLine(line), is_sent=True)[0] in (Fault.CUT, Fault.NOT_HTTP)
