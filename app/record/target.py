"""One target of the shipper behind a breaker: whether it takes anything, and what went wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from pybreaker import CircuitBreaker, CircuitBreakerError

__all__ = ["Target", "TargetDown"]

FAILURES_TO_OPEN = 3
OPEN_S = 1.0

log = logging.getLogger(__name__)

T = TypeVar("T")


class TargetDown(Exception):  # noqa: N818 - a state, said as one
    """The target takes nothing now; the same work is offered again."""


class Target:
    """Calls to one target. For one thread; others may read how it stands.

    An open breaker is the backoff: one call a second tries whether the target is back, so that a
    backlog begins to drain within a second. pybreaker serves for that: the calls are synchronous
    and come one after the other.

    Attributes:
        name: of the target.
        failures: calls that it did not carry out.
        last_error: of the last call; empty when it went well.
    """

    def __init__(
        self,
        name: str,
        *,
        down: type[Exception],
        answers: tuple[type[Exception], ...] = (),
        open_s: float = OPEN_S,
    ) -> None:
        """Make the target.

        Args:
            name: of the target.
            down: what a call raises when the target is down.
            answers: what a call raises that says nothing against the target; passed on.
            open_s: how long the breaker stays open.
        """
        self.name = name
        self.failures = 0
        self.last_error = ""
        self._down = down
        self._answers = answers
        self._breaker = CircuitBreaker(
            name=name,
            fail_max=FAILURES_TO_OPEN,
            reset_timeout=open_s,
            exclude=answers,
            throw_new_error_on_trip=False,
        )

    @property
    def state(self) -> str:
        """The breaker's: closed, open or half-open."""
        return self._breaker.current_state

    def call(self, method: Callable[..., T], *arguments: object) -> T:
        """Make a call, if the breaker lets it.

        Raises:
            TargetDown: it was not carried out.
        """
        try:
            result = self._breaker.call(method, *arguments)
        except CircuitBreakerError as error:
            raise TargetDown(self.last_error) from error
        except self._answers:
            raise
        except self._down as error:
            self.failures += 1
            if not self.last_error:
                log.warning("%s: %s; the backlog is kept", self.name, error)
            self.last_error = str(error)
            raise TargetDown(self.last_error) from error
        if self.last_error:
            log.info("%s: back", self.name)
            self.last_error = ""
        return result
