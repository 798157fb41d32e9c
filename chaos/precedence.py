"""Who goes first, on one machine that stands for several.

Callers have machines of their own, and so has a region that starts again: it takes no processor
from those that serve meanwhile. It takes a privilege to say so; without it nothing is said, and a
load that is late makes its run void.

Who goes first is scheduled in real time, before all of the world's own order
(`regions.world.precedence`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from regions.world.errors import WorldError
from regions.world.precedence import set_session_niceness

__all__ = ["LOOK_S", "ahead", "behind"]

LAST = 15
REAL_TIME = 1
LOOK_S = 0.1


def ahead() -> None:
    """Have this process go before the others; it sleeps most of the time."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME))


@contextmanager
def behind(pids: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Have processes, and all that they start, go behind the others in the block.

    Args:
        pids: gives them, as they are now; asked again and again.
    """
    if not _may():
        yield
        return
    done, before = threading.Event(), dict[int, int]()

    def keep_behind() -> None:
        while not done.wait(LOOK_S):
            with contextlib.suppress(WorldError):  # it is asked again
                for pid in pids():
                    with _alive():
                        before.setdefault(pid, os.getpriority(os.PRIO_PROCESS, pid))
                        _of_tree(pid, LAST)

    thread = threading.Thread(target=keep_behind, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for pid, niceness in before.items():
            with _alive():
                _of_tree(pid, niceness)


def _may() -> bool:
    """Whether niceness may be lowered, so that what goes behind comes back from there."""
    own = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, own - 1)
    except PermissionError:
        return False
    os.setpriority(os.PRIO_PROCESS, 0, own)
    return True


@contextmanager
def _alive() -> Iterator[None]:
    """What has ended meanwhile is left out."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        yield


def _of_tree(pid: int, niceness: int) -> None:
    """All threads of a process, and of those below it."""
    set_session_niceness(pid, niceness)
    for task in Path(f"/proc/{pid}/task").iterdir():
        with _alive():
            os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)
            for child in (task / "children").read_text("ascii").split():
                _of_tree(int(child), niceness)
