from __future__ import annotations

import math

import pytest

from fallback.clock import ManualClock
from fallback.deadline import Deadline


@pytest.fixture
def clock():
    return ManualClock(start_s=50.0)


def test_what_was_spent_before_counts_against_the_budget(clock):
    deadline = Deadline.after(budget_ms=80, clock=clock, already_spent_ms=5)
    assert deadline.remaining_ms() == pytest.approx(75)
    assert deadline.elapsed_ms() == pytest.approx(5)


def test_time_moves_from_remaining_to_elapsed(clock):
    deadline = Deadline.after(budget_ms=80, clock=clock)
    clock.advance(0.030)
    assert deadline.remaining_ms() == pytest.approx(50)
    assert deadline.elapsed_ms() == pytest.approx(30)
    assert not deadline.expired


def test_a_deadline_expires_at_its_instant_and_remaining_goes_below_zero(clock):
    deadline = Deadline.after(budget_ms=80, clock=clock, already_spent_ms=80)
    assert deadline.expired
    clock.advance(0.010)
    assert deadline.remaining_ms() == pytest.approx(-10)


def test_work_is_allowed_up_to_what_remains(clock):
    deadline = Deadline.after(budget_ms=20, clock=clock)
    assert deadline.allows(19.9)
    assert not deadline.allows(20.1)


def test_an_expired_deadline_allows_nothing_not_even_work_that_needs_no_time(clock):
    assert not Deadline.after(budget_ms=0, clock=clock).allows(0)


@pytest.mark.parametrize(
    ("cap_ms", "keep_ms", "share_ms"),
    [(30, 10, 30), (75, 10, 70), (30, 80, 0), (30, 100, 0)],
    ids=["capped", "leaves the rest", "nothing to spare", "less than nothing to spare"],
)
def test_a_share_is_capped_and_leaves_what_later_stages_need(clock, cap_ms, keep_ms, share_ms):
    deadline = Deadline.after(budget_ms=80, clock=clock)
    assert deadline.share(cap_ms, keep_ms) == pytest.approx(share_ms)


@pytest.mark.parametrize("budget_ms", [-1, math.nan, math.inf])
def test_a_budget_that_is_no_duration_is_refused(clock, budget_ms):
    with pytest.raises(ValueError, match="budget_ms"):
        Deadline.after(budget_ms=budget_ms, clock=clock)
