"""Whether an endpoint is used: a small state machine, without I/O.

    up --trouble--> ejected --time is over, and a probe came back--> returning --ramp--> up
                       ^                                                |
                       '---------- trouble again: twice as long --------'

    ejected for  min(eject_s * 2^n, eject_s_max) * (1 + jitter * u),   u uniform in [-1, 1]
    returning    1 %, 10 %, 50 % of its attempts for a third of the ramp each, then all

`n` counts the ejections since it was last up for `forget_s`. Which trouble ejects, given how the
other endpoints do, is decided in `stepdown_client.pool`.
"""

from __future__ import annotations

import enum
import random

from stepdown_client.clock import Clock
from stepdown_client.settings import EjectionPolicy
from stepdown_client.window import Counts, Outcomes

__all__ = ["Health", "HealthState", "Trouble"]

_RAMP = (0.01, 0.1, 0.5)
_IN_A_ROW_RETURNING = 2


class HealthState(enum.StrEnum):
    """Whether an endpoint is used."""

    UP = "up"
    EJECTED = "ejected"
    RETURNING = "returning"


class Trouble(enum.StrEnum):
    """What an endpoint is ejected for."""

    IN_A_ROW = "failures_in_a_row"
    FAILURES = "failure_rate"
    SLOW = "slow_rate"


class Health:
    """One endpoint's.

    Attributes:
        ejections: in all.
    """

    def __init__(self, policy: EjectionPolicy, *, clock: Clock, rng: random.Random) -> None:
        """An endpoint that is up.

        Args:
            policy: limits.
            clock: monotonic.
            rng: for the jitter.
        """
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._outcomes = Outcomes(span_s=policy.window_s, clock=clock)
        self._in_a_row = 0
        self._times = 0
        self._until_s = 0.0  # of the ejection
        self._since_s = clock.monotonic()  # of the return, or of being up
        self._ramp_s = 0.0
        self._state = HealthState.UP
        self.ejections = 0

    @property
    def state(self) -> HealthState:
        """As of now; a ramp ends by itself."""
        if self._state is HealthState.RETURNING and self._ramped() >= 1:
            self._state = HealthState.UP
        return self._state

    @property
    def share(self) -> float:
        """Of its attempts that it gets, in [0, 1]."""
        match self.state:
            case HealthState.UP:
                return 1.0
            case HealthState.EJECTED:
                return 0.0
            case HealthState.RETURNING:
                return _RAMP[int(self._ramped() * len(_RAMP))]

    @property
    def ejected_for_s(self) -> float:
        """How long it stays ejected at least, seconds; 0 where it is not."""
        left_s = self._until_s - self._clock.monotonic()
        return max(0.0, left_s) if self._state is HealthState.EJECTED else 0.0

    def record(self, *, failed: bool, slow: bool) -> None:
        """A call ended."""
        self._outcomes.record(failed=failed, slow=slow)
        self._in_a_row = self._in_a_row + 1 if failed else 0

    def counts(self) -> Counts:
        """Outcomes of the window."""
        return self._outcomes.counts()

    def trouble(self) -> Trouble | None:
        """What it could be ejected for now."""
        policy, counts = self._policy, self.counts()
        if self.state is HealthState.EJECTED:
            return None
        returning = self.state is HealthState.RETURNING
        row = _IN_A_ROW_RETURNING if returning else policy.failures_in_a_row
        if self._in_a_row >= row:
            return Trouble.IN_A_ROW
        if counts.total < policy.calls_min:
            return None
        if counts.failures / counts.total >= policy.failure_rate:
            return Trouble.FAILURES
        if counts.slow / counts.total >= policy.slow_rate:
            return Trouble.SLOW
        return None

    def eject(self) -> float:
        """Leave it alone. Returns for how long at least, seconds."""
        now_s, policy = self._clock.monotonic(), self._policy
        if self.state is HealthState.UP and now_s - self._since_s >= policy.forget_s:
            self._times = 0
        length_s = self._jittered(min(policy.eject_s * 2**self._times, policy.eject_s_max))
        self._times = min(self._times + 1, 32)
        self.ejections += 1
        self._state, self._until_s = HealthState.EJECTED, now_s + length_s
        self._forget()
        return length_s

    def hurry(self) -> None:
        """The next probe decides: there is nothing better to use."""
        self._until_s = min(self._until_s, self._clock.monotonic())

    def probed(self, *, at_once: bool) -> bool:
        """A probe came back.

        Args:
            at_once: without a ramp, since nothing else is in use.

        Returns:
            Whether it is returning because of that.
        """
        now_s = self._clock.monotonic()
        if self._state is not HealthState.EJECTED or now_s < self._until_s:
            return False
        self._state, self._since_s = HealthState.RETURNING, now_s
        self._ramp_s = 0.0 if at_once else self._jittered(self._policy.ramp_s)
        self._forget()
        return True

    def _ramped(self) -> float:
        """How far the ramp is, from 0; 1 or more when it is over."""
        passed_s = self._clock.monotonic() - self._since_s
        return passed_s / self._ramp_s if self._ramp_s > 0 else 1.0

    def _jittered(self, length_s: float) -> float:
        return length_s * (1 + self._policy.jitter * self._rng.uniform(-1, 1))

    def _forget(self) -> None:
        self._outcomes.clear()
        self._in_a_row = 0
