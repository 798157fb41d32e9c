from __future__ import annotations

import pytest

from fallback.clock import ManualClock
from fallback.window import OutcomeWindow, WindowCounts


@pytest.fixture
def clock():
    return ManualClock(start_s=1000.0)


@pytest.fixture
def window(clock):
    return OutcomeWindow(span_s=10.0, clock=clock, buckets=10)


def test_successes_failures_and_slow_calls_are_counted_apart(window):
    window.record(failed=False, slow=False)
    window.record(failed=True, slow=False)
    window.record(failed=False, slow=True)
    assert window.snapshot() == WindowCounts(total=3, failures=1, slow=1)


def test_a_call_that_is_failed_and_slow_is_one_call_under_both_heads(window):
    window.record(failed=True, slow=True)
    assert window.snapshot() == WindowCounts(total=1, failures=1, slow=1)


def test_an_outcome_is_forgotten_within_the_last_bucket_of_the_span(window, clock):
    window.record(failed=True, slow=False)
    clock.advance(8.9)
    assert window.snapshot().failures == 1
    clock.advance(1.1)
    assert window.snapshot() == WindowCounts()


def test_buckets_are_forgotten_one_by_one(window, clock):
    for _ in range(10):
        window.record(failed=True, slow=False)
        clock.advance(1.0)
    assert window.snapshot().total == 9
    clock.advance(5.0)
    assert window.snapshot().total == 4


def test_a_long_silence_empties_the_window(window, clock):
    window.record(failed=True, slow=True)
    clock.advance(86_400.0)
    assert window.snapshot() == WindowCounts()
    window.record(failed=False, slow=False)
    assert window.snapshot() == WindowCounts(total=1)


@pytest.mark.parametrize(("span_s", "buckets"), [(0.0, 10), (float("inf"), 10), (10.0, 1)])
def test_a_window_that_cannot_slide_is_refused(clock, span_s, buckets):
    with pytest.raises(ValueError, match="must be"):
        OutcomeWindow(span_s=span_s, clock=clock, buckets=buckets)
