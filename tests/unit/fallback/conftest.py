"""A breaker on a clock that is moved by hand, with what it told its listener."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import ManualClock
from fallback.errors import DependencyTimeout


class BreakerBench:
    def __init__(self, **limits):
        self.clock = ManualClock(start_s=1000.0)
        self.policy = BreakerPolicy(**{"jitter": 0.0, **limits})
        self.events = []
        self.breaker = Breaker(
            "counters-eu",
            self.policy,
            clock=self.clock,
            rng=random.Random(7),
            listener=self.events.append,
        )

    def call(self, error=None, *, took_ms=1.0):
        """Make one call that takes so long and ends so; a refusal is raised."""
        expected = () if error is None else (type(error),)
        with suppress(*expected), self.breaker.call():
            self.clock.advance(took_ms / 1000)
            if error is not None:
                raise error

    def calls(self, count, error=None, *, took_ms=1.0):
        for _ in range(count):
            self.call(error, took_ms=took_ms)

    def open(self):
        """Bring a closed breaker to open by failures alone."""
        self.calls(self.policy.minimum_calls, DependencyTimeout())

    def half_open(self):
        """Bring a breaker to half open, with no probe made and no event heard yet."""
        self.breaker.isolate()
        self.breaker.release()
        self.events.clear()

    def reasons(self):
        return [str(event.reason) for event in self.events]

    def states(self):
        return [str(event.to_state) for event in self.events]


@pytest.fixture
def bench():
    return BreakerBench
