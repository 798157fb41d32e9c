"""A fault that comes and goes: entered and left in turns, for as long as the block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

__all__ = ["in_turns"]


@contextmanager
def in_turns(
    fault: Callable[[], AbstractContextManager[None]], *, share: float, period_s: float
) -> Iterator[None]:
    """Enter and leave a fault, over and over; what goes wrong meanwhile is raised at the end.

    Args:
        fault: makes the block to enter; each turn a new one.
        share: of each period that the fault is there; at 1 it is entered once.
        period_s: of a turn.
    """
    if share >= 1:
        with fault():
            yield
        return
    over = threading.Event()

    def turn() -> None:
        while not over.is_set():
            with fault():
                over.wait(share * period_s)
            over.wait((1 - share) * period_s)

    with ThreadPoolExecutor(1) as pool:
        turning = pool.submit(turn)
        try:
            yield
        finally:
            over.set()
            turning.result()
