"""Whatever happens in whatever order, a breaker keeps its limits and never wedges."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fallback.breaker import Breaker, BreakerPolicy
from fallback.breaker_states import StateName
from fallback.clock import ManualClock
from fallback.errors import BreakerOpen, DependencyTimeout
from fallback.window import OutcomeWindow

POLICY = BreakerPolicy()
ALLOWED = {
    ("closed", "open"),
    ("open", "half_open"),
    ("half_open", "open"),
    ("half_open", "closed"),
    ("closed", "isolated"),
    ("open", "isolated"),
    ("half_open", "isolated"),
    ("isolated", "half_open"),
}


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin and end in any order, time passes, an operator interferes."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.events = []
        self.breaker = Breaker(
            "counters-eu", clock=self.clock, rng=random.Random(1), listener=self.events.append
        )
        self.in_flight = []

    @rule()
    def begin(self):
        state = self.breaker.state
        try:
            self.in_flight.append(self.breaker.admit())
        except BreakerOpen:
            assert state is not StateName.CLOSED

    @rule(
        which=st.integers(0, 100),
        error=st.sampled_from([None, DependencyTimeout(), asyncio.CancelledError(), KeyError()]),
    )
    def end(self, which, error):
        if not self.in_flight:
            return
        admission = self.in_flight.pop(which % len(self.in_flight))
        before = len(self.events)
        neutral = isinstance(error, asyncio.CancelledError | KeyError)
        late = admission.state is not self.breaker._state
        self.breaker.settle(admission, error)
        if neutral or late:
            assert len(self.events) == before

    @rule(seconds=st.floats(0.001, 4.0))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(isolate=st.booleans())
    def operate(self, isolate):
        if isolate:
            self.breaker.isolate()
        else:
            self.breaker.release()

    @invariant()
    def events_tell_one_unbroken_story(self):
        state = StateName.CLOSED
        for event in self.events:
            assert event.from_state is state
            assert (event.from_state, event.to_state) in ALLOWED
            state = event.to_state
        assert state is self.breaker.state

    @invariant()
    def probes_in_flight_keep_to_their_limit(self):
        holding = [
            admission
            for admission in self.in_flight
            if admission.state is self.breaker._state
            and self.clock.monotonic() - admission.started_s < POLICY.probe_s_max
        ]
        assert self.breaker.state is not StateName.HALF_OPEN or len(holding) <= POLICY.probes_max

    def teardown(self):
        """From anywhere, with every slot leaked, a healthy dependency closes it in time."""
        self.breaker.release()
        for _ in range(100):
            self.clock.advance(0.1)
            try:
                self.breaker.settle(self.breaker.admit(), None)
            except BreakerOpen:
                continue
        assert self.breaker.state is StateName.CLOSED


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreaker = BreakerMachine.TestCase


@given(
    steps=st.lists(st.tuples(st.integers(0, 1500), st.booleans(), st.booleans()), max_size=60),
)
@settings(max_examples=100, deadline=None)
def test_the_window_holds_all_outcomes_of_its_buckets_and_no_others(steps):
    clock = ManualClock()
    window = OutcomeWindow(span_s=8.0, clock=clock, buckets=8)
    recorded = []
    now_ms = 0
    for gap_ms, failed, slow in steps:
        clock.advance((now_ms + gap_ms) / 1000 - clock.monotonic())
        now_ms += gap_ms
        window.record(failed=failed, slow=slow)
        recorded.append((int(clock.monotonic()), failed, slow))
        kept = [one for one in recorded if one[0] > int(clock.monotonic()) - 8]
        counts = window.snapshot()
        assert (counts.total, counts.failures, counts.slow) == (
            len(kept),
            sum(failed for _, failed, _ in kept),
            sum(slow for _, _, slow in kept),
        )


@given(
    draws=st.lists(st.sampled_from([True, False]), min_size=1, max_size=80), seed=st.integers(0, 99)
)
@settings(max_examples=60, deadline=None)
def test_time_open_never_leaves_the_bounds_of_jitter_and_growth(draws, seed):
    rng = random.Random(seed)
    open_s = POLICY.open_s
    for again in draws:
        drawn = POLICY.jittered(open_s, rng)
        assert (
            POLICY.open_s * (1 - POLICY.jitter) <= drawn <= POLICY.open_s_max * (1 + POLICY.jitter)
        )
        open_s = POLICY.grown(open_s) if again else POLICY.open_s
