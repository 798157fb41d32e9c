from __future__ import annotations

import random

import pytest

from fallback.breaker import Breaker, BreakerPolicy
from fallback.breaker_policy import ChangeReason
from fallback.breaker_states import StateName
from fallback.clock import ManualClock
from fallback.errors import DependencyTimeout
from fallback.events import BreakerChanged
from fallback.window import WindowCounts


def test_a_new_breaker_is_closed_and_says_nothing(bench):
    closed = bench()
    closed.calls(100)
    assert closed.breaker.state == "closed"
    assert closed.events == []


def test_it_stays_closed_below_the_minimum_of_calls(bench):
    closed = bench(minimum_calls=6)
    closed.calls(5, DependencyTimeout())
    assert closed.breaker.state == "closed"


def test_it_opens_on_the_failure_rate_with_the_evidence_in_the_event(bench):
    closed = bench(minimum_calls=6, failure_rate=0.5)
    closed.calls(4)
    closed.calls(4, DependencyTimeout())
    assert closed.events == [
        BreakerChanged(
            name="counters-eu",
            from_state=StateName.CLOSED,
            to_state=StateName.OPEN,
            reason=ChangeReason.FAILURE_RATE,
            counts=WindowCounts(total=8, failures=4),
        )
    ]


def test_it_opens_on_the_slow_call_rate_though_every_call_succeeded(bench):
    closed = bench(minimum_calls=5, slow_call_ms=30.0, slow_call_rate=0.8)
    closed.call(took_ms=29.0)
    closed.calls(4, took_ms=31.0)
    assert closed.reasons() == ["slow_call_rate"]
    assert closed.events[0].counts == WindowCounts(total=5, slow=4)


def test_a_failure_after_its_slow_time_counts_as_slow_too(bench):
    closed = bench()
    closed.call(DependencyTimeout(), took_ms=40.0)
    assert closed.breaker.counts == WindowCounts(total=1, failures=1, slow=1)


def test_a_success_that_completes_the_minimum_of_calls_does_not_open(bench):
    closed = bench(minimum_calls=6)
    closed.calls(5, DependencyTimeout())
    closed.call()
    assert closed.breaker.state == "closed"


def test_failures_that_left_the_window_do_not_open(bench):
    closed = bench(window_s=3.0, minimum_calls=6)
    closed.calls(5, DependencyTimeout())
    closed.clock.advance(3.0)
    closed.calls(5, DependencyTimeout())
    assert closed.breaker.state == "closed"


def test_a_few_per_cent_of_errors_do_not_open(bench):
    closed = bench()
    for _ in range(200):
        closed.calls(19)
        closed.call(DependencyTimeout())
    assert closed.breaker.state == "closed"


def test_a_listener_that_raises_does_not_keep_it_from_opening(caplog):
    def broken(_event):
        raise OSError("metrics socket gone")

    breaker = Breaker(
        "counters-eu",
        BreakerPolicy(minimum_calls=1),
        clock=ManualClock(),
        rng=random.Random(7),
        listener=broken,
    )
    with pytest.raises(DependencyTimeout), breaker.call():
        raise DependencyTimeout
    assert breaker.state == "open"
    assert "a listener raised on BreakerChanged" in caplog.text
