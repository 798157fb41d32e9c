"""Bringing a world up and down: the lock, the leftovers, the ports, the launch."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from regions.world import leftovers
from regions.world.control import ProcessStatus, World, WorldStatus
from regions.world.errors import BusyPortError, LockHeldError, NotReadyError, NotRunningError
from regions.world.home import Home, write_private
from regions.world.plan import Plan, ProcessState
from regions.world.procfs import command_of, port_holder

__all__ = ["Claim", "bring_down", "check_ports", "claim", "log_tail", "wait_until_ready"]

_POLL_S = 0.05
_LAUNCH_TIMEOUT_S = 10.0
_UNLOCK_TIMEOUT_S = 5.0
_ENDS_MAX = 3
_LOG_LINES = 12


class Claim:
    """The right to work on a home: its lock is held."""

    def __init__(self, home: Home, lock_fd: int) -> None:
        self._home = home
        self._lock_fd = lock_fd

    def clean_up(self) -> str | None:
        """End what an earlier supervisor left; one sentence when there was something."""
        return leftovers.clean_up(self._home)

    def launch(self, plan: Plan) -> World:
        """Start the supervisor, which takes the lock over, and return when it answers.

        Raises:
            NotReadyError: it does not.
        """
        write_private(self._home.plan, msgspec.json.encode(plan))
        with self._home.supervisor_log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603
                [
                    sys.executable, "-m", "regions.world.supervisor",
                    str(self._home.root), str(self._lock_fd),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A lock belongs to the open file, so it never lapses between the two processes.
                pass_fds=(self._lock_fd,),
            )  # fmt: skip
        _write_holder(self._lock_fd, process.pid)
        end_s = time.monotonic() + _LAUNCH_TIMEOUT_S
        while process.poll() is None and time.monotonic() < end_s:
            with contextlib.suppress(NotRunningError):
                return World.connect(self._home.root)
            time.sleep(_POLL_S)
        process.kill()
        process.wait()
        log = self._home.supervisor_log
        raise NotReadyError(f"the supervisor did not start; see {log}", log_tail=log_tail(log))


@contextlib.contextmanager
def claim(root: Path, *, timeout_s: float = 0.0) -> Iterator[Claim]:
    """Take the lock of a home, for the time of the block or until a launched supervisor ends.

    Args:
        root: the home folder; made if it is not there.
        timeout_s: seconds to wait for the lock.

    Raises:
        LockHeldError: another command or supervisor holds it.
    """
    home = Home(root.absolute())
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock_fd = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take_lock(lock_fd, home, time.monotonic() + timeout_s)
        _write_holder(lock_fd, os.getpid())
        yield Claim(home, lock_fd)
    finally:
        os.close(lock_fd)


def check_ports(plan: Plan) -> None:
    """Find out whether every port of the plan is free.

    Raises:
        BusyPortError: one is not; says which, who needs it and who has it.
    """
    for name, host, port in _ports_of(plan):
        if _is_free(host, port):
            continue
        pid = port_holder(port)
        holder = f"pid {pid} ({command_of(pid)})" if pid else "a process that cannot be seen"
        raise BusyPortError(
            f"port {port} is busy: {name} needs it and {holder} has it;"
            " end that, or move all ports with STEPDOWN_PORT_BASE."
        )


def wait_until_ready(
    world: World, *, timeout_s: float, on_status: Callable[[WorldStatus], None]
) -> WorldStatus:
    """Return when every process is ready.

    Args:
        world: the running world.
        timeout_s: seconds allowed from one process's readiness to the next one's.
        on_status: told how everything stands, several times a second.

    Raises:
        NotReadyError: a process does not become ready, ends again and again, or is kept down.
    """
    ready, end_s = -1, 0.0
    restarts = {one.name: one.restarts for one in world.status().processes}
    while True:
        status = world.status()
        on_status(status)
        behind = [one for one in status.processes if one.state is not ProcessState.READY]
        if not behind:
            return status
        if len(status.processes) - len(behind) != ready:
            ready, end_s = len(status.processes) - len(behind), time.monotonic() + timeout_s
        for process in behind:
            ends = process.restarts - restarts[process.name]
            _give_up_on(process, ends=ends, late=time.monotonic() > end_s)
        time.sleep(_POLL_S)


def bring_down(root: Path) -> list[str]:
    """Stop everything of a home; harmless when nothing runs.

    Returns:
        Sentences about what was done.

    Raises:
        LockHeldError: another command is bringing the world up.
    """
    home = Home(root.absolute())
    if not home.root.exists():
        return ["nothing was running."]
    said = []
    try:
        World.connect(home.root).stop()
        said.append("everything has stopped.")
    except NotRunningError:
        if leftovers.end_supervisor(home):
            said.append("the supervisor did not answer and was killed.")
    with claim(home.root, timeout_s=_UNLOCK_TIMEOUT_S) as claimed:
        cleaned = claimed.clean_up()
    return [*said, *([cleaned] if cleaned else [])] or ["nothing was running."]


def log_tail(path: Path) -> tuple[str, ...]:
    """The last lines of a log; empty when there is none."""
    try:
        return tuple(path.read_text("utf-8", errors="replace").splitlines()[-_LOG_LINES:])
    except OSError:
        return ()


def _ports_of(plan: Plan) -> Iterator[tuple[str, str, int]]:
    """Who listens, on which address, on which port."""
    for spec in plan.processes:
        if spec.port is not None:
            yield spec.name, spec.host, spec.port
    if plan.network_port is not None:
        for link in plan.links:
            yield f"the link {link.name}", "127.0.0.1", link.listen


def _give_up_on(process: ProcessStatus, *, ends: int, late: bool) -> None:
    if process.state in (ProcessState.HELD, ProcessState.PAUSED):
        raise NotReadyError(
            f"{process.name} is {process.state} on request;"
            " release or resume it, or run 'stepdown down' and start again."
        )
    if process.state is ProcessState.WAITING:
        return
    if ends >= _ENDS_MAX:
        problem = f"has ended {ends} times, the last time with {process.last_exit}"
    elif late:
        problem = f"runs with pid {process.pid} but does not become ready"
    else:
        return
    raise NotReadyError(
        f"{process.name} {problem}; its log is {process.log}", log_tail=log_tail(Path(process.log))
    )


def _take_lock(lock_fd: int, home: Home, end_s: float) -> None:
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end_s:
                holder = home.lock.read_text("ascii").strip() or "unknown"
                raise LockHeldError(
                    f"{home.root} is in use by pid {holder}; wait for it, or run 'stepdown down'."
                ) from None
            time.sleep(_POLL_S)
        else:
            return


def _write_holder(lock_fd: int, pid: int) -> None:
    os.truncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{pid}\n".encode("ascii"), 0)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do: what lingers of closed connections is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
