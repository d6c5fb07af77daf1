"""`argo-bridge simulate`: a simulated Argo Server, in the foreground until it is stopped.

Starts a `Simulator`, prints its URL and waits for SIGINT or SIGTERM. It persists nothing and reads no config. The main
thread waits; the simulator has its own.
"""

from __future__ import annotations

import argparse
import gc
import signal
import sys
import threading
from types import FrameType

from bridge.cli import exit_codes
from bridge.simulator import DEFAULT_VERSION, RELEASES, Simulator, SimulatorOptions
from bridge.simulator.objects.versions import find_release

_DEFAULT_LISTEN = "127.0.0.1:2746"
_NAMESPACES = "argo,default"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the verb, and add its options."""
    parser.description = (
        "Run a simulated Argo Server, without a cluster. It uses plain HTTP and keeps nothing after it stops. See "
        "docs/simulator.md."
    )
    parser.add_argument(
        "--listen",
        type=_address,
        default=_DEFAULT_LISTEN,
        metavar="HOST:PORT",
        help=f"address to listen on; port 0 chooses a free port (default {_DEFAULT_LISTEN})",
    )
    parser.add_argument(
        "--argo-version",
        type=_version,
        default=DEFAULT_VERSION,
        metavar="VERSION",
        help=f"release to imitate: {', '.join(RELEASES)} (default {DEFAULT_VERSION})",
    )
    parser.add_argument("--token", help="require this bearer token (default: none)")
    parser.add_argument(
        "--namespaces",
        type=_names,
        default=_NAMESPACES,
        metavar="NAME,...",
        help=f"namespaces that exist (default {_NAMESPACES})",
    )
    parser.add_argument(
        "--container-duration",
        type=_seconds,
        default=0.5,
        metavar="SECONDS",
        help="how long a container runs unless its manifest says otherwise (default 0.5)",
    )
    parser.add_argument(
        "--retention",
        type=int,
        metavar="COUNT",
        help="number of finished workflows to keep; the oldest are deleted (default: all)",
    )
    parser.add_argument(
        "--archive",
        action="store_true",
        help="archive finished workflows, like a controller with a database (default: no archive)",
    )
    parser.add_argument(
        "--crash-seconds",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="downtime after a log request that crashes a real server (default 0: only cut that connection)",
    )
    parser.set_defaults(handler=run_simulate)


def run_simulate(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 1 when it cannot listen."""
    host, port = args.listen
    options = SimulatorOptions(
        host=host,
        port=port,
        argo_version=args.argo_version,
        token=args.token,
        namespaces=args.namespaces,
        container_s=args.container_duration,
        retention=args.retention,
        archive=args.archive,
        crash_s=args.crash_seconds,
    )
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        told.set()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    # A separate process can trade memory for speed: with thousands of live objects, frequent full collections are
    # expensive.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        with Simulator(options) as simulator:
            release = find_release(args.argo_version)
            print(f"simulating Argo Server v{release.version} on {simulator.url}", flush=True)
            told.wait()
    except OSError as error:
        print(f"argo-bridge simulate: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return exit_codes.PROBLEMS
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return exit_codes.OK


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _version(text: str) -> str:
    try:
        return find_release(text).version
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _names(text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("at least one namespace is required")
    return names


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from error
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError("a duration must be between 0 and 86400 seconds")
    return value
