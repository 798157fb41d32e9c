"""Counting, and nothing else: the outcomes of the last seconds.

Time is cut into buckets of `span_s / buckets`; a ring keeps the newest `buckets` of them, the
current one included, and running totals. Memory is fixed; recording costs O(1) amortised, since
each bucket is emptied once a turn; reading costs no loop over the ring.

An outcome is forgotten between `span_s - span_s / buckets` and `span_s` after it was recorded:
with the 10 buckets of the default the window is up to a tenth shorter than its name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fallback.clock import Clock

__all__ = ["OutcomeWindow", "WindowCounts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowCounts:
    """Outcomes in the window. A call may be both failed and slow: `slow` counts it too."""

    total: int = 0
    failures: int = 0
    slow: int = 0


class OutcomeWindow:
    """A sliding window over outcomes of calls.

    Args:
        span_s: length of the window, seconds.
        clock: the monotonic clock that places outcomes in buckets.
        buckets: how finely the window slides, at least 2.

    Raises:
        ValueError: if `span_s` is not a positive number or `buckets` is below 2.
    """

    __slots__ = (
        "_bucket_s",
        "_clock",
        "_failed_in",
        "_failures",
        "_newest",
        "_slow",
        "_slow_in",
        "_total",
        "_total_in",
    )

    def __init__(self, *, span_s: float, clock: Clock, buckets: int = 10) -> None:
        if not (math.isfinite(span_s) and span_s > 0):
            raise ValueError(f"span_s must be a positive number, got {span_s}")
        if buckets < 2:
            raise ValueError(f"buckets must be at least 2, got {buckets}")
        self._bucket_s = span_s / buckets
        self._clock = clock
        self._total_in = [0] * buckets
        self._failed_in = [0] * buckets
        self._slow_in = [0] * buckets
        self._total = self._failures = self._slow = 0
        self._newest = int(clock.monotonic() / self._bucket_s)

    def record(self, *, failed: bool, slow: bool) -> None:
        """Count one finished call in the current bucket."""
        self._slide()
        index = self._newest % len(self._total_in)
        self._total += 1
        self._total_in[index] += 1
        if failed:
            self._failures += 1
            self._failed_in[index] += 1
        if slow:
            self._slow += 1
            self._slow_in[index] += 1

    def snapshot(self) -> WindowCounts:
        """The counts as of now."""
        self._slide()
        return WindowCounts(total=self._total, failures=self._failures, slow=self._slow)

    def _slide(self) -> None:
        """Empty the buckets that the clock has left behind, at most one turn of the ring."""
        now = int(self._clock.monotonic() / self._bucket_s)
        passed = now - self._newest
        if passed == 0:
            return
        buckets = len(self._total_in)
        for bucket in range(now - min(passed, buckets) + 1, now + 1):
            index = bucket % buckets
            self._total -= self._total_in[index]
            self._failures -= self._failed_in[index]
            self._slow -= self._slow_in[index]
            self._total_in[index] = self._failed_in[index] = self._slow_in[index] = 0
        self._newest = now
