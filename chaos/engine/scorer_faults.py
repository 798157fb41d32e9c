"""Faults of single workers of a scorer, and of the disk that they write to."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import msgspec

from app.errors import OperatorError
from chaos.engine.ground import Ground
from chaos.engine.processes import NoOptions
from chaos.precedence import LOOK_S, behind
from regions.world.procfs import identify, is_running, session_members

__all__ = [
    "WorkerSignalled",
    "descriptors",
    "disk_full",
    "worker_signalled",
    "workers",
    "workers_replaced",
]

# No file may grow beyond so many bytes.
NOTHING = 1
REPLACED_S_MAX = 60.0


class WorkerSignalled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By which signal."""

    signal: Literal["SIGSTOP", "SIGKILL"] = "SIGSTOP"


def workers(ground: Ground, target: str) -> list[int]:
    """The processes of a program below its first one, by number, ascending.

    Raises:
        OperatorError: it does not run.
    """
    leader = _leader(ground, target)
    return sorted(pid for pid in session_members(leader) if pid != leader)


def descriptors(pids: list[int]) -> int:
    """Open files and connections of processes together; of those that have ended, none."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return total


@contextmanager
def worker_signalled(ground: Ground, target: str, options: WorkerSignalled) -> Iterator[None]:
    """One worker of a program is killed, or stands still with its connections."""
    found = [one for pid in workers(ground, target) if (one := identify(pid)) is not None]
    if not found:
        raise OperatorError(f"{target} has no workers, of which one could be signalled.")
    worker = found[0]
    os.kill(worker.pid, signal.Signals[options.signal])
    try:
        yield
    finally:
        if is_running(worker):  # else it was recycled, as it should be
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGCONT)


@contextmanager
def workers_replaced(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """All workers of a program are replaced, as by a release.

    Those that come up go behind: a release has machines of its own.
    """
    leader = _leader(ground, target)
    old = [one for pid in workers(ground, target) if (one := identify(pid)) is not None]
    known = {one.pid for one in old}
    os.kill(leader, signal.SIGHUP)

    def replace() -> None:
        give_up_s = time.monotonic() + REPLACED_S_MAX
        with behind(lambda: [pid for pid in workers(ground, target) if pid not in known]):
            while any(is_running(one) for one in old) and time.monotonic() < give_up_s:
                time.sleep(LOOK_S)

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        yield
    finally:
        replacing.join()
        ground.world.wait_ready(target, timeout_s=REPLACED_S_MAX)
    if left := [one.pid for one in old if is_running(one)]:
        raise OperatorError(f"workers {left} of {target} were not replaced.")


@contextmanager
def disk_full(ground: Ground, target: str, _options: NoOptions) -> Iterator[None]:
    """No file of a program takes any more, of those open and of those to come.

    By the limit on the size of files: a write fails at once, on whatever disk, and nothing else
    of the machine is touched.
    """
    _limit(ground, target, NOTHING)
    try:
        yield
    finally:
        _limit(ground, target, None)


def _limit(ground: Ground, target: str, size_max: int | None) -> None:
    """Let files of a program grow so far, bytes; as far as they could at first for None."""
    for pid in session_members(_leader(ground, target)):
        with suppress(ProcessLookupError):
            _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            soft = most if size_max is None else size_max
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, most))


def _leader(ground: Ground, target: str) -> int:
    found = {one.name: one.pid for one in ground.world.status().processes}
    pid = found.get(target)
    if pid is None:
        raise OperatorError(f"{target} does not run; see 'stepdown status'.")
    return pid
