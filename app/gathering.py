"""Requests that come close together begin together, so that they share what a batch costs.

A decision has costs of its own and a share of those of its batch (a task, a round trip, a call of
the evaluator), and of one alone the batch's are the greater part. A scorer that begins whatever is
there spends a core at half of what it can do: small batches, each at nearly the price of a large
one. So while a batch is under way, who comes waits for it to end, and begins with all that came
meanwhile; at most `wait_ms`, since a batch may itself wait for a store that is slow.

| traffic | batches | wait |
|---|---|---|
| light: fewer under way than `at_once` | of what came in one turn of the loop | none |
| heavy | as large as what comes while another is worked on | as long as that takes |
| heavy, and a store is slow | of what comes in `wait_ms` | `wait_ms` |
| more than can be done | of the `batch_max` oldest that are not late | until it is their turn |

That is group commit (DeWitt et al., 1984), of decisions: what is gathered grows with the load, and
with it falls what each costs.

A queue that is worked off in the order of arrival makes everybody late once it is longer than the
deadline; one that is worked off from its newest end, whoever is at the other, however short it is.
So they go in the order of their arrival, but past those who have become late, who can no longer be
helped by haste; these follow, the newest first, as soon as a batch has room (compare adaptive LIFO:
Maurer, "Fail at Scale", 2015). Nobody is left out but who has gone, and between two batches the
event loop sees what else there is.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

__all__ = ["LATE", "MANY_BATCHES", "Gathering"]

ItemT = TypeVar("ItemT")

# Share of his time after which somebody who waits is late: what is left is for the quickest way.
LATE = 2 / 3
# Of more than so many batches that wait, it is looked at who has gone.
MANY_BATCHES = 4


class Gathering(Generic[ItemT]):
    """Gathers requests and begins them. For one event loop."""

    def __init__(
        self,
        begin: Callable[[list[ItemT]], Coroutine[Any, Any, None]],
        *,
        wait_ms: float,
        gone: Callable[[ItemT], bool] = lambda _item: False,
        late: Callable[[ItemT], bool] = lambda _item: False,
        batch_max: int = 64,
        at_once: int = 1,
    ) -> None:
        """Gather nothing yet.

        Args:
            begin: works on those that begin together; deals with its own errors.
            wait_ms: longest wait for a batch under way; 0 for none.
            gone: whether nobody waits for a request any more, so that it need not begin.
            late: whether a request has waited for so long that haste no longer helps it; no
                request is late while an older one is not.
            batch_max: of more that wait some begin later.
            at_once: batches under way from which on others wait. With more than one they are
                smaller, the core is busier, and every request waits for it.
        """
        self._begin = begin
        self._wait_s = wait_ms / 1_000
        self._gone = gone
        self._late = late
        self._batch_max = batch_max
        self._many = MANY_BATCHES * batch_max
        self._at_once = at_once
        self._waiting: list[ItemT] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    @property
    def oldest(self) -> ItemT | None:
        """Of those that wait, who came first."""
        return self._waiting[0] if self._waiting else None

    @property
    def behind(self) -> int:
        """How many wait to begin."""
        return len(self._waiting)

    def add(self, item: ItemT) -> None:
        """Have a request begin, with others of its moment."""
        self._waiting.append(item)
        if self._timer is None:
            self._arrange()

    def _arrange(self) -> None:
        """Say when those that wait will begin."""
        loop = asyncio.get_running_loop()
        if len(self._under_way) < self._at_once or not self._wait_s:
            self._timer = loop.call_soon(self._go)
        else:
            self._timer = loop.call_later(self._wait_s, self._go)

    def _go(self) -> None:
        """Begin what waits, or as much of it as may begin together."""
        self._timer = None
        if len(self._waiting) > self._many:
            self._forget()
        batch = self._next()
        task = asyncio.get_running_loop().create_task(self._begin(batch))
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        if self._waiting:
            self._arrange()

    def _next(self) -> list[ItemT]:
        """Who begins; they wait no longer."""
        surplus = len(self._waiting) - self._batch_max
        start = 0
        if surplus > 0:  # in a list from oldest to newest the late ones come first
            in_time = bisect_left(self._waiting, True, key=lambda item: not self._late(item))
            start = min(in_time, surplus)
        batch = self._waiting[start : start + self._batch_max]
        del self._waiting[start : start + self._batch_max]
        return batch

    def _forget(self) -> None:
        """Those whose callers have gone must not pile up while it is never their turn.

        Looked at whenever twice as many wait as were left the last time: a step for each request.
        """
        self._waiting = [item for item in self._waiting if not self._gone(item)]
        self._many = max(MANY_BATCHES * self._batch_max, 2 * len(self._waiting))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._timer is not None and len(self._under_way) < self._at_once:
            self._timer.cancel()
            self._arrange()
