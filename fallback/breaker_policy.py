"""Deciding, and nothing else: when a breaker opens, for how long, and when it closes.

Formulas, over the window's counts:

    opens when   total >= minimum_calls  and
                 (failures / total >= failure_rate  or  slow / total >= slow_call_rate)
    open for     min(open_s * 2^n, open_s_max) * (1 + jitter * u),  u uniform in [-1, 1]

`n` counts the times it opened again: because a probe failed, or within `window_s` of closing.

What the defaults give, for a datastore that answers in a millisecond on an 80 ms path:

- Detection: under heavy traffic a dead dependency is found when half the window is failures,
  `failure_rate * window_s` = 1.5 s; under light traffic after `minimum_calls`, if they fall
  within one window, that is from 2 calls a second. Below that it stays closed: each attempt
  pays one timeout, and steps down.
- Recovery: at most `open_s_max * (1 + jitter) + probes_to_close / rate` after the dependency
  is back: 3.4 s at 3 calls a second.
"""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass

from fallback.window import WindowCounts

__all__ = ["BreakerPolicy", "ChangeReason"]


class ChangeReason(enum.StrEnum):
    """Why a breaker changed its state; a bounded label for metrics."""

    FAILURE_RATE = "failure_rate"
    SLOW_CALL_RATE = "slow_call_rate"
    OPEN_ELAPSED = "open_elapsed"
    PROBE_FAILED = "probe_failed"
    PROBE_SLOW = "probe_slow"
    PROBES_SUCCEEDED = "probes_succeeded"
    ISOLATED = "isolated"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """The limits of one breaker.

    Attributes:
        window_s: how far back outcomes count, seconds, > 0.
        minimum_calls: below so many calls in the window it does not open, >= 1.
        failure_rate: share of failed calls that opens it, in (0, 1].
        slow_call_ms: a call that takes longer is slow, > 0. Below the dependency's own timeout,
            or no call is ever slow without having failed.
        slow_call_rate: share of slow calls that opens it, in (0, 1].
        open_s: how long it stays open the first time, seconds, > 0.
        open_s_max: the longest it stays open, before jitter, seconds, >= `open_s`.
        jitter: fraction by which the open time varies either way, in [0, 1), so that the
            processes of a fleet do not probe in step.
        probes_max: calls in flight at once while half open, >= 1.
        probes_to_close: successful probes in a row that close it, >= 1.
        probe_s_max: a probe holds its slot no longer than this, seconds, at least
            `slow_call_ms`: a probe that never returns must not keep others from being made.

    Raises:
        ValueError: if a limit is out of its range.
    """

    window_s: float = 3.0
    minimum_calls: int = 6
    failure_rate: float = 0.5
    slow_call_ms: float = 30.0
    slow_call_rate: float = 0.8
    open_s: float = 0.5
    open_s_max: float = 2.0
    jitter: float = 0.2
    probes_max: int = 2
    probes_to_close: int = 3
    probe_s_max: float = 1.0

    def __post_init__(self) -> None:
        ranges = {
            "window_s": 0 < self.window_s < math.inf,
            "minimum_calls": self.minimum_calls >= 1,
            "failure_rate": 0 < self.failure_rate <= 1,
            "slow_call_ms": 0 < self.slow_call_ms < math.inf,
            "slow_call_rate": 0 < self.slow_call_rate <= 1,
            "open_s": 0 < self.open_s < math.inf,
            "open_s_max": self.open_s <= self.open_s_max < math.inf,
            "jitter": 0 <= self.jitter < 1,
            "probes_max": self.probes_max >= 1,
            "probes_to_close": self.probes_to_close >= 1,
            "probe_s_max": self.slow_call_ms / 1000 <= self.probe_s_max < math.inf,
        }
        wrong = [f"{name}={getattr(self, name)}" for name, holds in ranges.items() if not holds]
        if wrong:
            raise ValueError(f"out of range: {', '.join(wrong)}")

    def verdict(self, counts: WindowCounts) -> ChangeReason | None:
        """Why these counts open the breaker; None if they do not."""
        if counts.total < self.minimum_calls:
            return None
        if counts.failures / counts.total >= self.failure_rate:
            return ChangeReason.FAILURE_RATE
        if counts.slow / counts.total >= self.slow_call_rate:
            return ChangeReason.SLOW_CALL_RATE
        return None

    def grown(self, open_s: float) -> float:
        """How long to stay open after having been open for `open_s` in vain, before jitter."""
        return min(2 * open_s, self.open_s_max)

    def jittered(self, open_s: float, rng: random.Random) -> float:
        """`open_s` varied by at most `jitter` of itself either way."""
        return open_s * (1 + self.jitter * (2 * rng.random() - 1))
