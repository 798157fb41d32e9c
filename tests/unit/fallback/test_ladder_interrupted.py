"""Rungs that hang or are cancelled. The guard runs on the event loop's time, so these wait."""

from __future__ import annotations

import asyncio

import pytest

from fallback.bulkhead import Bulkhead
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.ladder import Ladder, Step
from fallback.rung import Assessment, Reason, RungName

ANSWER = Assessment(score=None, action=None, ranking=0.0)


class HangingRung:
    name = RungName.FULL

    def __init__(self):
        self.entered = asyncio.Event()
        self.shared = asyncio.get_running_loop().create_future()

    async def assess(self, attempts, deadline):
        self.entered.set()
        return await self.shared


class Last:
    name = RungName.TIER_DEFAULT

    def assess(self, attempt):
        return ANSWER


class Hanging:
    def __init__(self, *, needed_ms=1.0, reserve_ms=5.0):
        self.rung = HangingRung()
        self.bulkhead = Bulkhead("full", limit=1)
        self.events = []
        step = Step(rung=self.rung, needed_ms=needed_ms, bulkhead=self.bulkhead)
        self.ladder = Ladder(
            [step], Last(), clock=SystemClock(), listener=self.events.append, reserve_ms=reserve_ms
        )

    async def assess(self, budget_ms):
        (descent,) = await self.ladder.assess(
            ["attempt"], Deadline.after(budget_ms=budget_ms, clock=SystemClock())
        )
        return descent


async def test_a_rung_that_hangs_is_cut_off_and_its_slot_given_back():
    hanging = Hanging()
    descent = await hanging.assess(budget_ms=25.0)
    assert (descent.rung, descent.not_higher) == (
        RungName.TIER_DEFAULT,
        {RungName.FULL: Reason.TIMEOUT},
    )
    assert descent.elapsed_ms > 15.0
    assert hanging.bulkhead.in_use == 0
    skipped = hanging.events[0]
    assert (skipped.reason, skipped.bug) == (Reason.TIMEOUT, None)
    assert skipped.detail.startswith("cut off after")


async def test_a_rung_that_is_tried_gets_what_it_needs_even_out_of_the_reserve():
    hanging = Hanging(needed_ms=15.0, reserve_ms=1000.0)
    descent = await hanging.assess(budget_ms=1000.0)
    assert descent.elapsed_ms > 14.0


async def test_cancellation_is_re_raised_and_no_lower_rung_is_asked():
    hanging = Hanging()
    task = asyncio.create_task(hanging.assess(budget_ms=10_000.0))
    await hanging.rung.entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hanging.events == []
    assert hanging.bulkhead.in_use == 0


async def test_a_shared_read_cancelled_below_the_rung_is_a_bug_and_costs_no_answer():
    hanging = Hanging()
    task = asyncio.create_task(hanging.assess(budget_ms=10_000.0))
    await hanging.rung.entered.wait()
    hanging.rung.shared.cancel()
    descent = await task
    assert descent.not_higher == {RungName.FULL: Reason.BUG}
    assert isinstance(hanging.events[0].bug, asyncio.CancelledError)
