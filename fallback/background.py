"""Work that may wait, and may as well not be done: never before live traffic, and bounded.

    live  >  re-score on the lower rungs  >  shadow models

Live attempts are not in here: they are answered at once, and pressure sends them down the ladder
(`fallback/pressure.py`). What follows an answer waits in one bounded queue, and gives way:

| when | then | counted as |
|---|---|---|
| there is live pressure | nothing is taken in, and what waits is dropped | `pressure` |
| the queue is full | the newest of the lowest priority goes, maybe the one that came | `full` |

The newest, not the oldest: what has waited is the next to be done, and which attempts are lost
then does not depend on how long they would have waited.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

__all__ = ["QUEUE_MAX", "BackgroundQueue", "Dropped", "Work"]

QUEUE_MAX = 256

ItemT = TypeVar("ItemT")


class Work(enum.StrEnum):
    """Kinds of work, most urgent first."""

    RESCORE = "rescore"
    SHADOW = "shadow"


class Dropped(enum.StrEnum):
    """Why work was not done."""

    FULL = "full"
    PRESSURE = "pressure"


class BackgroundQueue(Generic[ItemT]):
    """The queue of one process. For one thread: the event loop's.

    Args:
        pressed: whether live traffic needs everything now.
        dropped: told of every item that will not be done: what it was, and why. The counter of
            this limit.
        queue_max: most items that wait, of both kinds together, at least 1.

    Raises:
        ValueError: if `queue_max` is below 1.
    """

    def __init__(
        self,
        *,
        pressed: Callable[[], bool],
        dropped: Callable[[Work, Dropped], None],
        queue_max: int = QUEUE_MAX,
    ) -> None:
        if queue_max < 1:
            raise ValueError(f"queue_max must be at least 1, got {queue_max}")
        self._pressed = pressed
        self._dropped = dropped
        self._queue_max = queue_max
        self._waiting: dict[Work, deque[ItemT]] = {work: deque() for work in Work}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def offer(self, work: Work, item: ItemT) -> None:
        """Let an item wait, or drop one."""
        if self._pressed():
            self._dropped(work, Dropped.PRESSURE)
            return
        self._waiting[work].append(item)
        if len(self) > self._queue_max:
            lowest = next(own for own in reversed(Work) if self._waiting[own])
            self._waiting[lowest].pop()
            self._dropped(lowest, Dropped.FULL)

    def take(self, together: Mapping[Work, int]) -> tuple[Work, list[ItemT]] | None:
        """The most urgent items, all of one kind, the oldest; None where none is to be done now.

        Args:
            together: how many of each kind may be done at once, at least 1.
        """
        if self._pressed():
            self._drop_all()
        for work, waiting in self._waiting.items():
            if waiting:
                return work, [waiting.popleft() for _ in range(min(together[work], len(waiting)))]
        return None

    def _drop_all(self) -> None:
        for work, waiting in self._waiting.items():
            for _ in range(len(waiting)):
                self._dropped(work, Dropped.PRESSURE)
            waiting.clear()
