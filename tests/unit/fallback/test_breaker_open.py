from __future__ import annotations

import random

import pytest

from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import ManualClock
from fallback.errors import BreakerOpen, DependencyTimeout
from fallback.window import WindowCounts


def test_it_refuses_calls_by_name_and_counts_them(bench):
    opened = bench()
    opened.open()
    for _ in range(3):
        with pytest.raises(BreakerOpen, match="counters-eu") as refused:
            opened.call()
    assert refused.value.dependency == "counters-eu"
    assert opened.breaker.rejected == 3
    assert opened.breaker.counts == WindowCounts()


def test_the_first_call_after_its_time_is_a_probe(bench):
    opened = bench(open_s=0.5)
    opened.open()
    opened.clock.advance(0.499)
    with pytest.raises(BreakerOpen):
        opened.call()
    opened.clock.advance(0.001)
    opened.call()
    assert opened.breaker.state == "half_open"
    assert opened.reasons() == ["failure_rate", "open_elapsed"]


def test_calls_admitted_before_it_opened_do_not_count_when_they_end_late(bench):
    opened = bench()
    early = opened.breaker.admit()
    opened.open()
    opened.breaker.settle(early, DependencyTimeout())
    assert opened.states() == ["open"]


@pytest.mark.parametrize(("drawn", "open_s"), [(0.0, 0.8), (0.5, 1.0), (0.999999, 1.2)])
def test_it_stays_open_for_its_time_give_or_take_the_jitter(drawn, open_s):
    class Drawn(random.Random):
        def random(self):
            return drawn

    clock = ManualClock()
    policy = BreakerPolicy(minimum_calls=1, open_s=1.0, jitter=0.2)
    breaker = Breaker("counters-eu", policy, clock=clock, rng=Drawn())
    with pytest.raises(DependencyTimeout), breaker.call():
        raise DependencyTimeout
    clock.advance(open_s - 0.001)
    with pytest.raises(BreakerOpen), breaker.call():
        pass
    clock.advance(0.002)
    with breaker.call():
        assert breaker.state == "half_open"
