"""Processor time that was wanted here and given to others.

A virtual machine does not own its processors. The kernel counts for how long one was away while
something here wanted to run: "steal" in proc(5). What happens in such seconds says nothing of the
service, and the count depends on nothing that the service does.

    stolen   steal / (steal + busy), in the worst `WINDOW_S` seconds
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["STOLEN_MAX", "Stolen", "wait_until_ours", "watched"]

STOLEN_MAX = 0.1
EVERY_S, WINDOW_S = 1.0, 3
PATIENCE_S = 120.0

_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Times:
    """Of all processors since the start of the machine, in the kernel's ticks."""

    busy: int
    stolen: int

    @classmethod
    def now(cls) -> Times | None:
        """As of now; None where the system does not tell."""
        try:
            words = _STAT.read_text("ascii").splitlines()[0].split()[1:]
            user, nice, system, _idle, _wait, irq, soft, stolen, *_ = map(int, words)
        except (OSError, ValueError, IndexError):
            return None
        return cls(user + nice + system + irq + soft, stolen)

    def since(self, before: Times) -> float:
        """Share of what was wanted that others had, in [0, 1]."""
        stolen = self.stolen - before.stolen
        wanted = self.busy - before.busy + stolen
        return stolen / wanted if wanted > 0 else 0.0


class Stolen:
    """What was taken so far.

    Attributes:
        worst: of all windows, in [0, 1]; 0 where the system does not tell.
        last: of the last window; None before it is full.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._times: deque[Times] = deque(maxlen=WINDOW_S + 1)
        self.worst = 0.0
        self.last: float | None = None

    def look(self) -> None:
        """Once more; every `EVERY_S`."""
        if (now := Times.now()) is None:
            self.last = 0.0
            return
        self._times.append(now)
        if len(self._times) > WINDOW_S:
            self.last = now.since(self._times[0])
            self.worst = max(self.worst, self.last)


@contextmanager
def watched() -> Iterator[Stolen]:
    """Watch for as long as the block lasts."""
    stolen, done = Stolen(), threading.Event()

    def keep_looking() -> None:
        stolen.look()
        while not done.wait(EVERY_S):
            stolen.look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield stolen
    finally:
        done.set()
        thread.join()


def wait_until_ours(most: float = STOLEN_MAX, *, patience_s: float = PATIENCE_S) -> bool:
    """Wait until the processors are ours.

    Args:
        most: that others may have meanwhile, in [0, 1]; 1 waits for nothing.
        patience_s: it is given up then.

    Returns:
        Whether they are.
    """
    if most >= 1:
        return True
    stolen, ends_s = Stolen(), time.monotonic() + patience_s
    while True:
        stolen.look()
        if stolen.last is not None and stolen.last <= most:
            return True
        if time.monotonic() >= ends_s:
            return False
        time.sleep(EVERY_S)
