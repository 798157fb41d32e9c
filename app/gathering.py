"""Requests that come close together begin together, so that they share what a batch costs.

A decision has costs of its own and a share of those of its batch (a round trip, a call of the
evaluator, a turn of the loop), and of one alone the batch's are the greater part. A scorer that
begins whatever is there spends a core at half of what it can do: small batches, each at nearly the
price of a large one. So batches begin at most every few milliseconds. Who comes after a pause
begins at once; the wait is paid only where others came just before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fallback.clock import Clock

__all__ = ["Gathering"]


class Gathering:
    """When requests may begin. For one event loop."""

    def __init__(self, clock: Clock, *, every_ms: float, told: Callable[[], None]) -> None:
        """Let the first begin at once.

        Args:
            clock: monotonic.
            every_ms: least time between two beginnings; 0 for none.
            told: is told of each beginning, before those that begin.
        """
        self._clock = clock
        self._every_s = every_ms / 1_000
        self._told = told
        self._next_s = 0.0
        self._waiting: list[asyncio.Future[None]] = []

    def wait(self) -> asyncio.Future[None] | None:
        """What to await before a request begins; None where it may begin at once."""
        if not self._waiting:
            now_s = self._clock.monotonic()
            if now_s >= self._next_s:
                self._next_s = now_s + self._every_s
                self._told()
                return None
            asyncio.get_running_loop().call_later(self._next_s - now_s, self._begin)
        began: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(began)
        return began

    def _begin(self) -> None:
        self._next_s = self._clock.monotonic() + self._every_s
        waiting, self._waiting = self._waiting, []
        self._told()
        for began in waiting:
            if not began.done():  # its request was cancelled
                began.set_result(None)
