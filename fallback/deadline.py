"""The one deadline of a decision, handed down from the socket.

It is an absolute instant on the monotonic clock, so a stage that waits cannot stretch it, and
every stage sees the same one. A stage takes a share of it:

    share(cap, keep) = max(0, min(cap, remaining - keep))

that is, at most its own cap, and never what the stages after it must still have.
"""

from __future__ import annotations

import math

from fallback.clock import Clock

__all__ = ["Deadline"]


class Deadline:
    """An instant by which the answer must be ready. All figures are in milliseconds.

    Attributes:
        expires_s: the instant, by the clock.
    """

    __slots__ = ("_clock", "_started_s", "expires_s")

    def __init__(self, *, started_s: float, expires_s: float, clock: Clock) -> None:
        self._started_s = started_s
        self.expires_s = expires_s
        self._clock = clock

    @classmethod
    def after(cls, *, budget_ms: float, clock: Clock, already_spent_ms: float = 0.0) -> Deadline:
        """A deadline `budget_ms` after the request began.

        Args:
            budget_ms: what the whole decision may take, from the beginning of the request.
            clock: the clock that every later question reads.
            already_spent_ms: how long ago the request began: the wait for the event loop is
                over before anything here can run.

        Raises:
            ValueError: if either figure is negative or not finite.
        """
        if not (0 <= budget_ms < math.inf and 0 <= already_spent_ms < math.inf):
            raise ValueError(
                f"budget_ms and already_spent_ms must be finite and not negative, got {budget_ms}"
                f" and {already_spent_ms}"
            )
        started_s = clock.monotonic() - already_spent_ms / 1000
        return cls(started_s=started_s, expires_s=started_s + budget_ms / 1000, clock=clock)

    def remaining_ms(self) -> float:
        """Time left; negative once it is past, by how much."""
        return (self.expires_s - self._clock.monotonic()) * 1000

    def elapsed_ms(self) -> float:
        """Time since the request began, what was already spent included."""
        return (self._clock.monotonic() - self._started_s) * 1000

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.remaining_ms() <= 0

    def allows(self, needed_ms: float) -> bool:
        """Whether work that needs `needed_ms` can still be done; never, once expired."""
        remaining_ms = self.remaining_ms()
        return remaining_ms > 0 and remaining_ms >= needed_ms

    def share(self, cap_ms: float, keep_ms: float) -> float:
        """What a stage may take: at most `cap_ms`, leaving `keep_ms` to those after it."""
        return max(0.0, min(cap_ms, self.remaining_ms() - keep_ms))
