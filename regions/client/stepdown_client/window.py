"""What an endpoint did in the last seconds, and how long its answers take.

`Outcomes` is a ring of buckets, the current one included. `Latency` holds an exponentially weighted
mean (what endpoints are ordered by), the last answers (for a high quantile), and a baseline: the
mean of answers that were not slow, so that a region which turns slow does not become its own
measure.

    slow   an answer later than  baseline + max(50 ms, half of the baseline)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stepdown_client.clock import Clock

__all__ = ["Counts", "Latency", "Outcomes"]

_BUCKETS = 10
_KEPT = 200
_QUANTILE_MIN = 20
_WEIGHT = 0.1
# Probes are few, and one that was sent in an outage may have waited for its end.
_PROBE_WEIGHT = 0.5
_BASELINE_WEIGHT = 0.02
_BASELINE_FIRST = 20
_SLOW_MS, _SLOW_SHARE = 50.0, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Outcomes in the window; a call that timed out is failed and slow."""

    total: int
    failures: int
    slow: int


class Outcomes:
    """A sliding window over outcomes."""

    def __init__(self, *, span_s: float, clock: Clock) -> None:
        """Make an empty window.

        Args:
            span_s: its length, seconds, > 0.
            clock: monotonic.
        """
        self._bucket_s = span_s / _BUCKETS
        self._clock = clock
        self._ring: deque[tuple[int, list[int]]] = deque()

    def record(self, *, failed: bool, slow: bool) -> None:
        """Count one."""
        now = int(self._clock.monotonic() / self._bucket_s)
        if not self._ring or self._ring[-1][0] != now:
            self._ring.append((now, [0, 0, 0]))
        bucket = self._ring[-1][1]
        bucket[0] += 1
        bucket[1] += failed
        bucket[2] += slow

    def counts(self) -> Counts:
        """The counts as of now."""
        oldest = int(self._clock.monotonic() / self._bucket_s) - _BUCKETS
        while self._ring and self._ring[0][0] <= oldest:
            self._ring.popleft()
        sums = [sum(column) for column in zip(*(of for _, of in self._ring), strict=True)]
        total, failures, slow = sums or (0, 0, 0)
        return Counts(total=total, failures=failures, slow=slow)

    def clear(self) -> None:
        """Forget everything."""
        self._ring.clear()


class Latency:
    """How long an endpoint takes, milliseconds.

    Attributes:
        mean_ms: weighted mean of answers and probes; None before the first.
        answers: seen in all.
    """

    def __init__(self) -> None:
        self.mean_ms: float | None = None
        self.answers = 0
        self._baseline_ms: float | None = None
        self._last: deque[float] = deque(maxlen=_KEPT)

    def answered(self, took_ms: float) -> bool:
        """An answer came. Returns whether it was slow."""
        slow = self._is_slow(took_ms)
        self.answers += 1
        self._last.append(took_ms)
        self.mean_ms = _moved(self.mean_ms, took_ms, _WEIGHT)
        if not slow:
            # The first answers open connections and say little; they must not set the measure.
            weight = max(_BASELINE_WEIGHT, 1 / self.answers)
            self._baseline_ms = _moved(self._baseline_ms, took_ms, weight)
        return slow

    def probed(self, took_ms: float) -> None:
        """A probe came back: that orders endpoints, but says nothing about decisions."""
        self.mean_ms = _moved(self.mean_ms, took_ms, _PROBE_WEIGHT)

    def quantile(self, share: float) -> float | None:
        """A quantile of the last answers; None of too few."""
        if len(self._last) < _QUANTILE_MIN:
            return None
        ordered = sorted(self._last)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def _is_slow(self, took_ms: float) -> bool:
        baseline = self._baseline_ms
        if baseline is None or self.answers < _BASELINE_FIRST:
            return False
        return took_ms > baseline + max(_SLOW_MS, _SLOW_SHARE * baseline)


def _moved(mean: float | None, value: float, weight: float) -> float:
    return value if mean is None else mean + weight * (value - mean)
