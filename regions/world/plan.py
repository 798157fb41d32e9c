"""What the supervisor is told to run: plain data, written to `<home>/world.json`.

The command that brings the world up makes the plan, so that whatever is missing is said at the
terminal; the supervisor only carries it out.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

from regions.world.precedence import EVEN

__all__ = [
    "NETWORK",
    "AliveFor",
    "AnswersHttp",
    "AnswersPing",
    "Link",
    "Plan",
    "ProcessSpec",
    "ProcessState",
    "Ready",
]

# The process that carries what goes from region to region; it belongs to none of them.
NETWORK = "network/toxiproxy"


class ProcessState(enum.StrEnum):
    """Where a process stands."""

    WAITING = "waiting"  # its turn has not come
    STARTING = "starting"  # runs, not ready yet
    READY = "ready"
    BACKOFF = "backoff"  # ended by itself; waits before the next start
    PAUSED = "paused"  # stopped by SIGSTOP
    HELD = "held"  # ended on request, and kept down


class AliveFor(msgspec.Struct, frozen=True, kw_only=True, tag="alive_for"):
    """Ready when it has run for `seconds`: for a process without a port."""

    seconds: float


class AnswersHttp(msgspec.Struct, frozen=True, kw_only=True, tag="answers_http"):
    """Ready when `GET http://host:port<path>` is 200."""

    host: str
    port: int
    path: str


class AnswersPing(msgspec.Struct, frozen=True, kw_only=True, tag="answers_ping"):
    """Ready when the datastore answers PING with PONG to who knows the password."""

    host: str
    port: int
    password_file: str


Ready = AliveFor | AnswersHttp | AnswersPing


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One process.

    Attributes:
        name: `<region>/<part>`, unique.
        region: whose it is, empty for none; processes of one region start in the plan's order.
        command: program and arguments.
        environment: what it gets above the supervisor's own environment.
        log: file that its standard output and error are appended to.
        host: address that it listens on, if it does.
        port: port that it listens on, if it does.
        ready: when the next process may start.
        stop_timeout_s: seconds from SIGTERM to SIGKILL.
        niceness: see `regions.world.precedence`.
    """

    name: str
    region: str
    command: tuple[str, ...]
    environment: dict[str, str]
    log: str
    ready: Ready
    host: str = "127.0.0.1"
    port: int | None = None
    stop_timeout_s: float = 3.0
    niceness: int = EVEN


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A way from one region to a port of another, or of its own.

    Attributes:
        name: `<carries>:<near>:<far>[:<shard>]`, unique; a segment of a URL.
        carries: copies of counters, calls of the API, or what a region asks its own datastores.
        near: the region that connects.
        far: the region that is connected to.
        listen: port that the near one connects to, where the link goes through a proxy.
        upstream: port of the far one.
        latency_ms: in each direction.
    """

    name: str
    carries: Literal["replication", "api", "store"]
    near: str
    far: str
    listen: int
    upstream: int
    latency_ms: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All processes, in start order within each region.

    Attributes:
        processes: what runs.
        links: between the regions.
        network_port: where their proxies are told what to do; None where links are direct.
    """

    processes: tuple[ProcessSpec, ...]
    links: tuple[Link, ...] = ()
    network_port: int | None = None
