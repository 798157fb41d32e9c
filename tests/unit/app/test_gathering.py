"""Requests that come close together begin together; one that comes alone waits for nothing."""

from __future__ import annotations

import asyncio

from app.gathering import Gathering
from fallback.clock import ManualClock, SystemClock

EVERY_MS = 20.0


def gathering_of(clock, *, every_ms=EVERY_MS, told=lambda: None):
    return Gathering(clock, every_ms=every_ms, told=told)


async def test_the_first_begins_at_once_and_so_does_one_after_a_pause():
    clock = ManualClock()
    gathering = gathering_of(clock)
    assert gathering.wait() is None
    clock.advance(EVERY_MS / 1_000)
    assert gathering.wait() is None


async def test_those_that_follow_closely_begin_together_and_not_before_their_time():
    clock = SystemClock()
    gathering = gathering_of(clock)
    assert gathering.wait() is None
    started_s = clock.monotonic()
    second = gathering.wait()
    await asyncio.sleep(EVERY_MS / 4_000)
    third = gathering.wait()
    assert (second.done(), third.done()) == (False, False)
    await second
    assert third.done()
    # Timers of an event loop may come a millisecond early.
    assert clock.monotonic() - started_s >= EVERY_MS / 1_000 - 0.002


async def test_a_batch_that_begins_has_the_next_one_wait_for_as_long():
    gathering = gathering_of(SystemClock())
    gathering.wait()
    await gathering.wait()
    assert gathering.wait() is not None


async def test_a_request_that_was_cancelled_holds_nobody_up():
    gathering = gathering_of(SystemClock())
    gathering.wait()
    gone, there = gathering.wait(), gathering.wait()
    gone.cancel()
    await asyncio.wait_for(there, timeout=1.0)


async def test_with_nothing_between_beginnings_nobody_waits():
    gathering = gathering_of(ManualClock(), every_ms=0.0)
    assert [gathering.wait() for _ in range(3)] == [None] * 3


async def test_each_beginning_is_told_once_however_many_begin():
    told = []
    gathering = gathering_of(SystemClock(), told=lambda: told.append(1))
    gathering.wait()
    assert len(told) == 1
    together = [gathering.wait() for _ in range(3)]
    await asyncio.gather(*together)
    assert len(told) == 2
