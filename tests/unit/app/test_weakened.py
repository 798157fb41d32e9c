"""A weakened scorer lacks one protection, and only in development."""

from __future__ import annotations

import random

import pytest

from app.settings import ConfigurationError, load
from app.wiring.weakened import NoRung, never_opens
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import SystemClock
from fallback.errors import DependencyTimeout


@pytest.mark.parametrize("what", ["breakers", "lower-rungs"])
@pytest.mark.parametrize("profile", ["staging", "production"])
def test_a_scorer_outside_development_cannot_be_weakened(tmp_path, what, profile):
    variables = {
        "STEPDOWN_HOME": str(tmp_path),
        "STEPDOWN_CONFIG": str(tmp_path / "none.toml"),
        "STEPDOWN_WEAKENED": what,
        "STEPDOWN_PROFILE": profile,
    }
    with pytest.raises(ConfigurationError, match=f"{profile} cannot be weakened"):
        load(variables)
    assert load({**variables, "STEPDOWN_PROFILE": "development"}).weakened == what


@pytest.mark.parametrize("weakened", [False, True])
def test_a_weakened_breaker_stays_closed_where_another_opens(weakened):
    policy = never_opens(BreakerPolicy()) if weakened else BreakerPolicy()
    breaker = Breaker("b", policy, clock=SystemClock(), rng=random.Random(7))
    for _ in range(BreakerPolicy().minimum_calls):
        with pytest.raises(DependencyTimeout), breaker.call():
            raise DependencyTimeout("late", dependency="b")
    assert breaker.state == ("closed" if weakened else "open")


def test_in_the_place_of_the_last_rung_nothing_answers():
    with pytest.raises(RuntimeError, match="taken out"):
        NoRung().assess(None)
