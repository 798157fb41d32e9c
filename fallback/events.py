"""What the ladder and its breakers tell the outside: frozen data, in the order it happened.

Telemetry, paging and the operations page subscribe; nothing here knows them. A listener is
called synchronously on the decision's own time, so it does no I/O and keeps no exception.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from fallback.breaker_policy import ChangeReason
from fallback.breaker_states import StateName
from fallback.rung import Reason, RungName
from fallback.window import WindowCounts

__all__ = [
    "BreakerChanged",
    "Event",
    "Listener",
    "RungSkipped",
    "RungTaken",
    "SafeListener",
    "ignore",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """A breaker went from one state to another.

    Attributes:
        name: the breaker's dependency.
        counts: the evidence gathered in `from_state`: its window, or its probes.
    """

    name: str
    from_state: StateName
    to_state: StateName
    reason: ChangeReason
    counts: WindowCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class RungTaken:
    """A rung gave the assessment.

    Attributes:
        elapsed_ms: time the rung itself took.
        attempts: that it was taken for.
    """

    rung: RungName
    elapsed_ms: float
    attempts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RungSkipped:
    """A rung was not taken.

    Attributes:
        elapsed_ms: time lost on it; 0 where it was not tried.
        detail: the failure in words, for a person; empty where the reason says it all.
        bug: the exception, if the reason is `bug`: this is what pages.
        attempts: that it was not taken for.
    """

    rung: RungName
    reason: Reason
    elapsed_ms: float
    detail: str = ""
    bug: BaseException | None = None
    attempts: int = 1


Event: TypeAlias = BreakerChanged | RungTaken | RungSkipped
Listener: TypeAlias = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


class SafeListener:
    """The one place where a listener that raises is kept from hurting a decision.

    It logs the first failure and then each time their number has doubled, so that a listener
    that fails on every decision does not fill the log.

    Attributes:
        failures: how often the listener raised.
    """

    __slots__ = ("_listener", "failures")

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.failures = 0

    def __call__(self, event: Event) -> None:
        """Hand the event on."""
        try:
            self._listener(event)
        except Exception:
            self.failures += 1
            if self.failures & (self.failures - 1) == 0:
                name = type(event).__name__
                logger.exception("a listener raised on %s, failure %d", name, self.failures)
