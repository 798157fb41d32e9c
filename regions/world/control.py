"""The control socket: one JSON line a request, one JSON line an answer; and its client."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

import msgspec

from regions.world.errors import NotReadyError, NotRunningError, RefusedError
from regions.world.home import Home
from regions.world.plan import ProcessState

__all__ = ["ProcessStatus", "Reply", "Request", "World", "WorldStatus"]

# Longer than the supervisor needs to stop everything, which is 15 s at most.
_ANSWER_TIMEOUT_S = 20.0
_POLL_S = 0.05

Verb = Literal["status", "stop", "hold", "release", "pause", "resume", "signal"]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of the supervisor.

    Attributes:
        do: the verb.
        name: the process, for all verbs but `status` and `stop`.
        signal: for `hold` SIGKILL (the default) or SIGTERM; for `signal` any, by name.
        environment: for `release`: what the process gets above its own until it is released again.
    """

    do: Verb
    name: str | None = None
    signal: str | None = None
    environment: dict[str, str] = {}


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process as it stands.

    Attributes:
        pid: None while it does not run.
        uptime_s: since its last start; 0 while it does not run.
        restarts: how often it was started again after it had ended by itself.
        last_exit: exit status of the last run; negative is the signal that ended it.
    """

    name: str
    region: str
    state: ProcessState
    pid: int | None
    uptime_s: float
    restarts: int
    port: int | None
    log: str
    last_exit: int | None


class WorldStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Supervisor and processes, in start order."""

    supervisor_pid: int
    processes: tuple[ProcessStatus, ...]

    @property
    def ready(self) -> bool:
        """Whether every process is ready."""
        return all(process.state is ProcessState.READY for process in self.processes)

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that have processes."""
        return tuple(dict.fromkeys(process.region for process in self.processes if process.region))

    def port(self, name: str) -> int | None:
        """The port of a process; None when it has none or there is no such process."""
        return next((one.port for one in self.processes if one.name == name), None)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor's answer: the status after the request, or why it was refused."""

    error: str | None = None
    status: WorldStatus | None = None


class World:
    """Client of a running supervisor. Each request has its own connection."""

    def __init__(self, home: Path) -> None:
        self._home = Home(home.absolute())

    @classmethod
    def connect(cls, home: Path) -> Self:
        """The running world of a home.

        Raises:
            NotRunningError: no supervisor answers there.
        """
        world = cls(home)
        world.status()
        return world

    def status(self) -> WorldStatus:
        """How everything stands."""
        return self._ask(Request(do="status"), timeout_s=2.0)

    def stop(self) -> None:
        """Stop all processes, the last started first, and then the supervisor."""
        self._ask(Request(do="stop"))

    def hold(self, name: str, signal: Literal["SIGKILL", "SIGTERM"] = "SIGKILL") -> None:
        """End a process and keep it down; returns when it is gone."""
        self._ask(Request(do="hold", name=name, signal=signal))

    def release(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Let a held process start again; `wait_ready` tells when it serves.

        Args:
            name: of the process.
            environment: what it gets above its own, at each start until it is released again.
        """
        self._ask(Request(do="release", name=name, environment=dict(environment or {})))

    def pause(self, name: str) -> None:
        """Freeze a process and its children: connections stay open, nothing answers."""
        self._ask(Request(do="pause", name=name))

    def resume(self, name: str) -> None:
        """Let a paused process go on."""
        self._ask(Request(do="resume", name=name))

    def signal(self, name: str, signal: str) -> None:
        """Send a signal, by name, to a process alone and not to its children."""
        self._ask(Request(do="signal", name=name, signal=signal))

    def process(self, name: str) -> ProcessStatus:
        """How one process stands.

        Raises:
            RefusedError: there is no such process.
        """
        for process in self.status().processes:
            if process.name == name:
                return process
        raise RefusedError(f"there is no process {name!r}")

    def wait_ready(self, name: str, *, timeout_s: float) -> ProcessStatus:
        """Return when a process is ready.

        Raises:
            NotReadyError: it is not within `timeout_s`.
        """
        end_s = time.monotonic() + timeout_s
        while (process := self.process(name)).state is not ProcessState.READY:
            if time.monotonic() > end_s:
                raise NotReadyError(f"{name} is {process.state} and not ready after {timeout_s} s")
            time.sleep(_POLL_S)
        return process

    def _ask(self, request: Request, *, timeout_s: float = _ANSWER_TIMEOUT_S) -> WorldStatus:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout_s)
                connection.connect(str(self._home.socket))
                connection.sendall(msgspec.json.encode(request) + b"\n")
                with connection.makefile("rb") as answer:
                    line = answer.readline()
        except OSError as error:
            raise NotRunningError(f"no supervisor answers at {self._home.root}") from error
        if not line:
            raise NotRunningError(f"the supervisor at {self._home.root} ended while it was asked")
        reply = msgspec.json.decode(line, type=Reply)
        if reply.status is None:
            raise RefusedError(reply.error or "the supervisor refused without a reason")
        return reply.status
