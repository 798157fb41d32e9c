from __future__ import annotations

import asyncio

import pytest

from fallback.breaker_policy import ChangeReason
from fallback.breaker_states import StateName
from fallback.errors import BreakerOpen, DependencyTimeout
from fallback.events import BreakerChanged
from fallback.window import WindowCounts


def test_enough_good_probes_close_it(bench):
    probing = bench(probes_to_close=3)
    probing.half_open()
    probing.calls(2)
    assert probing.breaker.state == "half_open"
    probing.call()
    assert probing.events == [
        BreakerChanged(
            name="counters-eu",
            from_state=StateName.HALF_OPEN,
            to_state=StateName.CLOSED,
            reason=ChangeReason.PROBES_SUCCEEDED,
            counts=WindowCounts(total=3),
        )
    ]


def test_one_failed_probe_opens_it_again_whatever_went_well_before(bench):
    probing = bench(probes_to_close=3)
    probing.half_open()
    probing.calls(2)
    probing.call(DependencyTimeout())
    assert probing.reasons() == ["probe_failed"]
    assert probing.events[0].counts == WindowCounts(total=3, failures=1)


def test_a_slow_probe_opens_it_again(bench):
    probing = bench(slow_call_ms=30.0)
    probing.half_open()
    probing.call(took_ms=31.0)
    assert probing.reasons() == ["probe_slow"]
    assert probing.events[0].counts == WindowCounts(total=1, slow=1)


async def test_no_more_probes_than_allowed_are_in_flight_at_once(bench):
    probing = bench(probes_max=2, probes_to_close=2)
    probing.half_open()
    answered = asyncio.Event()

    async def ask():
        with probing.breaker.call():
            await answered.wait()

    tasks = [asyncio.create_task(ask()) for _ in range(200)]
    await asyncio.sleep(0)
    answered.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes.count(None) == 2
    assert sum(isinstance(outcome, BreakerOpen) for outcome in outcomes) == 198
    assert probing.breaker.state == "closed"


async def test_a_cancelled_probe_gives_its_slot_back_and_decides_nothing(bench):
    probing = bench(probes_max=1, probes_to_close=1)
    probing.half_open()

    async def ask():
        with probing.breaker.call():
            await asyncio.Event().wait()

    for _ in range(5):
        task = asyncio.create_task(ask())
        await asyncio.sleep(0)
        with pytest.raises(BreakerOpen, match="all probes in flight"):
            probing.call()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert probing.breaker.state == "half_open"
    probing.call()
    assert probing.breaker.state == "closed"


def test_a_probe_that_never_returns_loses_its_slot(bench):
    probing = bench(probes_max=1, probes_to_close=1, probe_s_max=1.0)
    probing.half_open()
    probing.breaker.admit()
    probing.clock.advance(0.999)
    with pytest.raises(BreakerOpen):
        probing.call()
    probing.clock.advance(0.001)
    probing.call()
    assert probing.breaker.state == "closed"


def test_a_probe_that_returns_after_losing_its_slot_was_slow(bench):
    probing = bench(probes_max=1, probes_to_close=2, probe_s_max=1.0)
    probing.half_open()
    lost = probing.breaker.admit()
    probing.clock.advance(1.0)
    probing.call()
    probing.breaker.settle(lost, None)
    assert probing.reasons() == ["probe_slow"]


def test_a_probe_of_an_earlier_half_open_does_not_count_in_a_later_one(bench):
    probing = bench(probes_max=2, probes_to_close=1, open_s=0.5, open_s_max=0.5)
    probing.half_open()
    stale = probing.breaker.admit()
    probing.call(DependencyTimeout())
    probing.clock.advance(0.5)
    current = probing.breaker.admit()
    assert probing.breaker.state == "half_open"
    probing.breaker.settle(stale, DependencyTimeout())
    assert probing.breaker.state == "half_open"
    probing.breaker.settle(current, None)
    assert probing.breaker.state == "closed"


def test_a_call_admitted_while_closed_does_not_count_as_a_probe(bench):
    probing = bench(probes_to_close=1)
    early = probing.breaker.admit()
    probing.half_open()
    probing.breaker.settle(early, None)
    assert probing.breaker.state == "half_open"
