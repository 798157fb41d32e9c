"""Moments in which the machine stood still, as one that is moved or paused by its host does.

A process that only sleeps is woken late only where its processor did not run: it goes before all
others, those of the service and those that make the load, so that nothing they do delays it. Such a
pause is in no count of the kernel's. There is a sleeper on every processor.

    still_ms   the longest that a sleeper overslept

Without the privilege to go first it proves nothing, and is 0.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["STILL_MS_MAX", "Stood", "watched"]

# A quarter of what an answer may take. Oversleeping by a few is this kernel's and its host's usual.
STILL_MS_MAX = 25.0
EVERY_S = 0.005
# Before the generators, which are at 1 (`chaos.precedence`).
FIRST = 2


class Stood:
    """What was found out.

    Attributes:
        still_ms: see above; there once the block is over.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.still_ms = 0.0


@contextmanager
def watched() -> Iterator[Stood]:
    """Watch for as long as the block lasts."""
    stood = Stood()
    with subprocess.Popen(
        [sys.executable, "-m", "chaos.engine.standstill"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield stood
        finally:
            said, _ = process.communicate()  # the end of its input ends it
            stood.still_ms = float(said or 0.0)


class _Sleeper(threading.Thread):
    """Sleeps on one processor, over and over."""

    def __init__(self, core: int) -> None:
        super().__init__(daemon=True)
        self._core = core
        self.overslept_s = 0.0

    def run(self) -> None:
        """For the life of the process."""
        os.sched_setaffinity(0, {self._core})
        while True:
            due_s = time.monotonic() + EVERY_S
            time.sleep(EVERY_S)
            self.overslept_s = max(self.overslept_s, time.monotonic() - due_s)


def _main() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(FIRST))
    except PermissionError:
        sys.stdin.buffer.read()
        return
    sleepers = [_Sleeper(core) for core in os.sched_getaffinity(0)]
    for one in sleepers:
        one.start()
    sys.stdin.buffer.read()
    print(max(one.overslept_s for one in sleepers) * 1_000)  # noqa: T201 - it is what it says


if __name__ == "__main__":
    _main()
