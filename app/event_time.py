"""What "now" is: the clock on the wall, or in a replay the time that each event says.

    live      an event happens when it is received; counters are read as of then
    replay    an event happens when it says; counters are read as of that moment

Only a replay believes what a caller says of time, so only the development profile can be one (see
`app.settings`). How fresh something is, is a matter of the wall clock in both: what is played is
old by design, and must be neither stale for that nor from the future.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from msgspec import UnsetType

from app.api.wire import as_datetime

__all__ = ["EventTime", "ReplayTime", "WallTime", "instant_ms", "wall_ms"]


class EventTime(Protocol):
    """The time of events, milliseconds since the epoch. Also a `fallback.clock.Clock`."""

    def now_ms(self) -> int:
        """The wall clock: names decisions, measures ages."""
        ...

    def received_ms(self, said: str | UnsetType | None) -> int:
        """The receipt of an event that says it happened at an instant."""
        ...

    def as_of_ms(self, received_ms: int) -> int | None:
        """As of when counters are read for what was received then; None for when they are read."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, in the pace of the events: for rates of attempts."""
        ...


def wall_ms() -> int:
    """Wall clock, milliseconds since the epoch: event time, never a duration."""
    return time.time_ns() // 1_000_000


class WallTime:
    """Events happen when they are received."""

    def now_ms(self) -> int:
        """See `EventTime`."""
        return wall_ms()

    def received_ms(self, said: str | UnsetType | None) -> int:  # noqa: ARG002
        """See `EventTime`; what the caller says is an input at most, never the time."""
        return wall_ms()

    def as_of_ms(self, received_ms: int) -> int | None:  # noqa: ARG002
        """See `EventTime`."""
        return None

    monotonic = staticmethod(time.monotonic)


class ReplayTime:
    """Events happen when they say; one that says nothing, with the newest before it."""

    def __init__(self, wall: Callable[[], int] = wall_ms) -> None:
        """Make the clock of a replay that has not begun.

        Args:
            wall: wall clock, ms since the epoch.
        """
        self._wall = wall
        self._newest_ms = 0

    def now_ms(self) -> int:
        """See `EventTime`."""
        return self._wall()

    def received_ms(self, said: str | UnsetType | None) -> int:
        """See `EventTime`."""
        if not isinstance(said, str):
            return self._newest_ms or self._wall()
        at_ms = instant_ms(said)
        self._newest_ms = max(self._newest_ms, at_ms)
        return at_ms

    def as_of_ms(self, received_ms: int) -> int | None:
        """See `EventTime`."""
        return received_ms

    def monotonic(self) -> float:
        """See `EventTime`."""
        return self._newest_ms / 1_000


def instant_ms(instant: str) -> int:
    """An instant of the wire, checked, as milliseconds since the epoch."""
    return round(as_datetime(instant).timestamp() * 1_000)
