"""CPU that processes used, and which cores they may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cores", "pin", "tree", "used_s"]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """What runs where.

    Attributes:
        server: the measured server's alone.
        others: of everything else, the generator included.
    """

    server: frozenset[int]
    others: frozenset[int]

    @classmethod
    def of_machine(cls) -> Cores:
        """The first core for the server, the others for the rest; of one core all share it."""
        first, *rest = sorted(os.sched_getaffinity(0))
        return cls(frozenset({first}), frozenset(rest or [first]))


def tree(pid: int) -> list[int]:
    """A process and all processes below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *(below for child in children for below in tree(int(child)))]


def pin(pids: Iterable[int], cores: frozenset[int]) -> None:
    """Keep processes, all their threads and what those start, on some cores."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def used_s(pids: Iterable[int]) -> dict[int, float]:
    """CPU that each process has used so far, user and system, seconds; none of one that ended."""
    used = {}
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            used[pid] = _used_s(pid)
    return used


def _used_s(pid: int) -> float:
    """In the kernel's ticks, of which a measurement of seconds has hundreds."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
