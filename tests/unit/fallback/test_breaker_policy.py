from __future__ import annotations

import random

import pytest

from fallback.breaker import BreakerPolicy
from fallback.breaker_policy import ChangeReason
from fallback.window import WindowCounts


@pytest.mark.parametrize(
    "limits",
    [
        {"window_s": 0.0},
        {"minimum_calls": 0},
        {"failure_rate": 0.0},
        {"failure_rate": 1.1},
        {"slow_call_ms": 0.0},
        {"slow_call_rate": float("nan")},
        {"open_s": 0.0},
        {"open_s": 3.0, "open_s_max": 2.0},
        {"jitter": 1.0},
        {"probes_max": 0},
        {"probes_to_close": 0},
        {"probe_s_max": 0.01},
        {"window_s": float("inf")},
    ],
    ids=lambda limits: " ".join(f"{name}={value}" for name, value in limits.items()),
)
def test_a_limit_out_of_its_range_is_refused_by_name(limits):
    with pytest.raises(ValueError, match=list(limits)[-1]):
        BreakerPolicy(**limits)


def test_below_the_minimum_of_calls_no_rate_opens():
    policy = BreakerPolicy(minimum_calls=6)
    assert policy.verdict(WindowCounts(total=5, failures=5, slow=5)) is None


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        (WindowCounts(total=10, failures=4, slow=7), None),
        (WindowCounts(total=10, failures=5), ChangeReason.FAILURE_RATE),
        (WindowCounts(total=10, slow=8), ChangeReason.SLOW_CALL_RATE),
        (WindowCounts(total=10, failures=5, slow=8), ChangeReason.FAILURE_RATE),
    ],
    ids=["under both", "at the failure rate", "at the slow-call rate", "at both"],
)
def test_a_rate_opens_when_it_is_reached(counts, verdict):
    assert BreakerPolicy(failure_rate=0.5, slow_call_rate=0.8).verdict(counts) is verdict


def test_jitter_stays_within_its_fraction_and_uses_all_of_it():
    policy = BreakerPolicy(jitter=0.2)
    rng = random.Random(11)
    drawn = [policy.jittered(2.0, rng) for _ in range(2000)]
    assert 1.6 <= min(drawn) < 1.61
    assert 2.39 < max(drawn) <= 2.4


def test_the_same_seed_gives_the_same_jitter():
    policy = BreakerPolicy()
    first, second = (policy.jittered(1.0, random.Random(3)) for _ in range(2))
    assert first == second


def test_open_time_doubles_up_to_its_limit():
    policy = BreakerPolicy(open_s=0.5, open_s_max=1.5)
    assert [policy.grown(open_s) for open_s in (0.5, 1.0, 1.5)] == [1.0, 1.5, 1.5]
