"""Bounded concurrency without a queue.

A queue in front of a slow dependency turns its latency into ours; past the limit a call is
refused at once, and the attempt takes a rung that does not need the dependency.
"""

from __future__ import annotations

from types import TracebackType

from fallback.errors import BulkheadFull

__all__ = ["Bulkhead"]


class Bulkhead:
    """At most `limit` calls in flight; use as `with bulkhead:`, also round an await.

    One object serves all its calls: entering takes a slot, leaving gives it back, by whatever
    way. It belongs to one event loop and takes no lock.

    Attributes:
        name: named in `BulkheadFull` and in metrics.
        limit: calls in flight, at least 1.
        in_use: calls in flight now.
        peak: the most there have been at once.
        rejected: how many were refused: the counter of this limit.
    """

    __slots__ = ("in_use", "limit", "name", "peak", "rejected")

    def __init__(self, name: str, *, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self.name = name
        self.limit = limit
        self.in_use = 0
        self.peak = 0
        self.rejected = 0

    def __enter__(self) -> None:
        """Take a slot.

        Raises:
            BulkheadFull: if `limit` calls are in flight.
        """
        if self.in_use >= self.limit:
            self.rejected += 1
            raise BulkheadFull(f"{self.limit} calls in flight", dependency=self.name)
        self.in_use += 1
        self.peak = max(self.peak, self.in_use)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.in_use -= 1
