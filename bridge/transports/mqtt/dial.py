"""Makes TCP connections that `stop` can interrupt. Runs on the transport's thread; others call only `abort`.

It knows nothing about MQTT or TLS. Only name resolution cannot be interrupted: the system's resolver takes as long as
it is configured to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time

from bridge.transports.wakeup import Wakeup


class Dialler:
    """Connects, and keeps the socket until its handshakes are done."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup
        self._lock = threading.Lock()
        self._aborted = False
        self._handshaking: socket.socket | None = None

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Return a connected socket with `timeout_s` as its timeout; the addresses of a name are tried in order.

        Raises:
            OSError: not resolved, refused, not reached within `timeout_s` in total, or aborted; a retry may help.
        """
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        deadline_s = time.monotonic() + timeout_s
        failure: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
        for position, (family, kind, protocol, _, address) in enumerate(addresses):
            share_s = (deadline_s - time.monotonic()) / (len(addresses) - position)
            sock = socket.socket(family, kind, protocol)
            try:
                self._connect(sock, address, share_s)
                sock.settimeout(timeout_s)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.hold(sock)
                return sock
            except OSError as error:
                sock.close()
                failure = error
        raise failure

    def _connect(self, sock: socket.socket, address: object, timeout_s: float) -> None:
        sock.setblocking(False)
        code = sock.connect_ex(address)  # type: ignore[arg-type]  # as getaddrinfo gave it
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        poll.register(self._wakeup.fileno(), select.POLLIN)
        deadline_s = time.monotonic() + timeout_s
        while not self._aborted:
            events = dict(poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000))
            if sock.fileno() in events:
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                return
            if not events:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            self._wakeup.clear()  # someone published or subscribed: noticed once connected
        raise ConnectionAbortedError(errno.ECONNABORTED, "stopped while connecting")

    def hold(self, sock: socket.socket) -> None:
        """Allow `abort` to end what `sock` waits for; called again when TLS has taken over the descriptor.

        Raises:
            ConnectionAbortedError: `abort` was called before, possibly while TLS was taking over the socket.
        """
        with self._lock:
            self._handshaking = sock
            if self._aborted:
                raise ConnectionAbortedError(errno.ECONNABORTED, "stopped while connecting")

    def release(self) -> None:
        """Note that the handshakes are over, or failed: `abort` no longer touches the socket."""
        with self._lock:
            self._handshaking = None

    def abort(self) -> None:
        """Abort a connection attempt, and refuse all later ones. Thread: any."""
        self._aborted = True
        self._wakeup.wake()
        # A handshake blocks in recv; shutting down the socket ends it, whether it waits already or is about to.
        with self._lock, contextlib.suppress(OSError):
            if self._handshaking is not None:
                self._handshaking.shutdown(socket.SHUT_RDWR)
