"""What the supervisor is told to run: plain data, written to `<home>/world.json`.

The command that brings the world up makes the plan, so that whatever is missing is said at the
terminal; the supervisor only carries it out.
"""

from __future__ import annotations

import enum

import msgspec

__all__ = ["AliveFor", "AnswersHttp", "AnswersPing", "Plan", "ProcessSpec", "ProcessState", "Ready"]


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
        region: whose it is; processes of one region start in the plan's order.
        command: program and arguments.
        environment: what it gets above the supervisor's own environment.
        log: file that its standard output and error are appended to.
        host: address that it listens on, if it does.
        port: port that it listens on, if it does.
        ready: when the next process may start.
        stop_timeout_s: seconds from SIGTERM to SIGKILL.
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


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All processes, in start order within each region."""

    processes: tuple[ProcessSpec, ...]
