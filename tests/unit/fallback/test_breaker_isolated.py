from __future__ import annotations

import pytest

from fallback.errors import BreakerOpen, DependencyTimeout


def test_it_refuses_calls_for_as_long_as_the_operator_likes(bench):
    isolated = bench()
    isolated.breaker.isolate()
    isolated.clock.advance(86_400.0)
    with pytest.raises(BreakerOpen, match="isolated by an operator"):
        isolated.call()
    assert isolated.breaker.rejected == 1


def test_its_release_probes_before_it_closes(bench):
    isolated = bench(probes_to_close=2)
    isolated.breaker.isolate()
    isolated.breaker.release()
    isolated.calls(2)
    assert isolated.states() == ["isolated", "half_open", "closed"]
    assert isolated.reasons() == ["isolated", "released", "probes_succeeded"]


def test_calls_in_flight_when_it_was_isolated_change_nothing(bench):
    isolated = bench(minimum_calls=1)
    early = isolated.breaker.admit()
    isolated.breaker.isolate()
    isolated.breaker.settle(early, DependencyTimeout())
    assert isolated.breaker.state == "isolated"


def test_isolating_twice_or_releasing_what_is_not_isolated_is_no_event(bench):
    isolated = bench()
    isolated.breaker.release()
    assert isolated.events == []
    isolated.breaker.isolate()
    isolated.breaker.isolate()
    assert isolated.states() == ["isolated"]
