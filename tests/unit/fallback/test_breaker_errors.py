"""Which ways of ending a call are evidence against the dependency, each by name."""

from __future__ import annotations

import asyncio

import pytest

from fallback import errors

TRIPS = [
    errors.DependencyTimeout,
    errors.DependencyUnavailable,
    errors.DependencyRefusal,
    errors.DependencyCorrupt,
]
NEUTRAL = [
    errors.FeaturesStale,
    errors.SourceUnavailable,
    errors.ModelUnavailable,
    errors.SnapshotUnavailable,
    errors.RulesUnavailable,
    errors.BreakerOpen,
    errors.BulkheadFull,
    errors.DeadlineNear,
    errors.Disabled,
    errors.RungOverrun,
    errors.RequestError,
    asyncio.CancelledError,
    KeyError,
    TimeoutError,
    ConnectionResetError,
]


def fail(breaker, error):
    with pytest.raises(type(error)) as raised, breaker.call():
        raise error
    assert raised.value is error


@pytest.mark.parametrize("kind", TRIPS)
def test_a_dependency_error_opens_the_breaker(bench, kind):
    breaker = bench(minimum_calls=4).breaker
    for _ in range(4):
        fail(breaker, kind())
    assert breaker.state == "open"


@pytest.mark.parametrize("kind", NEUTRAL)
def test_anything_else_neither_opens_the_breaker_nor_is_counted(bench, kind):
    breaker = bench(minimum_calls=4).breaker
    for _ in range(20):
        fail(breaker, kind())
    assert breaker.state == "closed"
    assert breaker.counts.total == 0


@pytest.mark.parametrize("kind", NEUTRAL)
def test_anything_else_gives_its_probe_slot_back_and_decides_nothing(bench, kind):
    half_open = bench(probes_max=1, probes_to_close=1)
    half_open.half_open()
    for _ in range(20):
        fail(half_open.breaker, kind())
    assert half_open.breaker.state == "half_open"
    half_open.call()
    assert half_open.breaker.state == "closed"


@pytest.mark.parametrize("kind", TRIPS)
def test_a_dependency_error_of_a_probe_opens_the_breaker_again(bench, kind):
    half_open = bench()
    half_open.half_open()
    fail(half_open.breaker, kind())
    assert half_open.breaker.state == "open"
