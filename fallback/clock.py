"""Time, injected: nothing in the ladder reads a clock by itself."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """A monotonic clock. Durations come from here, never from the wall clock."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    # Not a method that calls it: a decision reads the clock some twenty times.
    monotonic = staticmethod(time.monotonic)


class ManualClock:
    """A clock that moves when told to, for tests and replays."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`, which must not be negative."""
        if seconds < 0:
            raise ValueError("a monotonic clock does not go back")
        self._now_s += seconds
