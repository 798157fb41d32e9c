"""How fast a history is played."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast to post.

    Attributes:
        lockstep: wait behind each group until it is counted.
        rate: attempts a second without lockstep.
        deadline_ms: of the service, 20 to 1000; what would take longer costs a rung. None where
            the service runs already and has its own.
    """

    lockstep: bool
    rate: float
    deadline_ms: int | None
