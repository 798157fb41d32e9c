"""How long to wait before a process that has ended is started again."""

from __future__ import annotations

__all__ = ["Backoff"]


class Backoff:
    """How long to wait before the next start.

    `delay = min(limit, base * 2**n)`, n the ends in a row. A crash costs a tenth of a second; a
    process that cannot start is tried every five seconds and does not eat the machine. A run of
    `steady_s` or longer ends the row.
    """

    def __init__(
        self, *, base_s: float = 0.1, limit_s: float = 5.0, steady_s: float = 10.0
    ) -> None:
        self._base_s = base_s
        self._limit_s = limit_s
        self._steady_s = steady_s
        self._next_s = base_s

    def after(self, ran_s: float) -> float:
        """Seconds to wait after a run of `ran_s` seconds."""
        if ran_s >= self._steady_s:
            self.reset()
        delay_s = self._next_s
        self._next_s = min(self._limit_s, 2 * delay_s)
        return delay_s

    def reset(self) -> None:
        """Forget the row: the next wait is the shortest."""
        self._next_s = self._base_s
