"""Requests a second and CPU a request: `Exchanges`, and `requests` in threads, against the same instant stub.

Run ``.venv/bin/python bench/submit.py [COUNT]``. The stub is a process of its own on the same machine, so read the
ratio, not the numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bridge.argo.credentials import Credentials
from bridge.argo.exchanges import Exchanges, HttpRequest
from tests.support.argo_options import argo_at

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PATH = "/api/v1/workflows/argo"
REQUEST = b'{"workflow":{"metadata":{"name":"bench-aaaaaaaaaaaaaaaa"},"spec":{"x":"' + b"x" * 900 + b'"}}}'
ANSWER = b'{"metadata":{"name":"bench-aaaaaaaaaaaaaaaa","uid":"u"},"spec":{"x":"' + b"x" * 1900 + b'"}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Ratelimit-Limit: 1000\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Rate:
    """What one run measured."""

    per_s: float
    cpu_us: float


class _Stub(asyncio.Protocol):
    """Answers each request at once; knows that all are alike."""

    def __init__(self) -> None:
        self._buffer = b""
        self._reply = HEAD % len(ANSWER) + ANSWER

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0 and len(self._buffer) >= end + 4 + len(REQUEST):
            self._buffer = self._buffer[end + 4 + len(REQUEST) :]
            self._transport.write(self._reply)


def _serve(pipe: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Stub, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


@contextlib.contextmanager
def stub() -> Iterator[str]:
    """Give the URL of a stub that lives as long as the block."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def with_exchanges(url: str, count: int, in_flight: int) -> Rate:
    """Send `count` creates through `Exchanges`, `in_flight` at a time, in this thread."""
    with Exchanges(argo_at(url), Credentials(None), window=in_flight) as exchanges:

        def run() -> None:
            started = done = 0
            while done < count:
                while exchanges.in_flight < in_flight and started < count:
                    exchanges.start(started, HttpRequest("POST", PATH, REQUEST, expects="bench-aaaaaaaaaaaaaaaa"))
                    started += 1
                for _, answer in exchanges.poll(1.0):
                    if not answer.ok:
                        raise RuntimeError(answer.message)
                    done += 1

        return _measured(run, count)


def with_requests(url: str, count: int, in_flight: int) -> Rate:
    """Send `count` creates through one `requests` session, from `in_flight` threads."""
    with requests.Session() as session, ThreadPoolExecutor(in_flight) as pool:
        session.trust_env = False
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=in_flight))

        def create(_: int) -> None:
            session.post(url + PATH, data=REQUEST, timeout=30).json()

        def run() -> None:
            for _ in pool.map(create, range(count)):
                pass

        return _measured(run, count)


def _measured(run: Callable[[], None], count: int) -> Rate:
    began_s, cpu_s = time.perf_counter(), time.process_time()
    run()
    return Rate(count / (time.perf_counter() - began_s), (time.process_time() - cpu_s) / count * 1e6)


def compare(count: int, in_flight: int = 16, runs: int = 3) -> float:
    """Print both rates (medians of `runs`) and return how many times faster `Exchanges` is."""
    with stub() as url:
        ours = [with_exchanges(url, count, in_flight) for _ in range(runs)]
        theirs = [with_requests(url, max(500, count // 20), in_flight) for _ in range(runs)]
    medians = []
    for name, rates in (("exchanges", ours), ("requests", theirs)):
        per_s = statistics.median(rate.per_s for rate in rates)
        cpu_us = statistics.median(rate.cpu_us for rate in rates)
        medians.append(per_s)
        print(f"{name:<10} {per_s:>9,.0f} requests/s {cpu_us:>7.0f} us CPU a request  ({in_flight} in flight)")
    ratio = medians[0] / medians[1]
    print(f"ratio      {ratio:>9.1f}")
    return ratio


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=16)
    arguments = parser.parse_args()
    compare(arguments.count, arguments.in_flight)
