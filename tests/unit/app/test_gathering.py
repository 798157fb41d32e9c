"""Requests that come close together begin together; one that comes alone waits for nothing."""

from __future__ import annotations

import asyncio

import pytest

from app.gathering import MANY_BATCHES, Gathering

LONG_MS = 60_000.0


class Batches:
    """Works on what begins until it is told that it has ended."""

    def __init__(self):
        self.begun = []
        self.more = asyncio.Event()
        self._ends = []

    async def begin(self, items):
        self.begun.append(items)
        self.more.set()
        ended = asyncio.get_running_loop().create_future()
        self._ends.append(ended)
        await ended

    def end(self, at, error=None):
        """End the batch that began as the n-th."""
        if error is None:
            self._ends[at].set_result(None)
        else:
            self._ends[at].set_exception(error)


@pytest.fixture
def batches():
    return Batches()


async def turns():
    """Let everything happen that waits for nothing."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_that_comes_alone_begins_at_once(batches):
    gathering = Gathering(batches.begin, wait_ms=LONG_MS)
    gathering.add("a")
    await turns()
    assert batches.begun == [["a"]]


async def test_those_of_one_turn_of_the_loop_begin_together_and_in_order(batches):
    gathering = Gathering(batches.begin, wait_ms=LONG_MS)
    for item in "abc":
        gathering.add(item)
    assert batches.begun == []
    await turns()
    assert batches.begun == [["a", "b", "c"]]


async def test_while_fewer_are_under_way_than_may_be_who_comes_waits_for_none_of_them(batches):
    gathering = Gathering(batches.begin, wait_ms=LONG_MS, at_once=2)
    for item in "ab":
        gathering.add(item)
        await turns()
    assert batches.begun == [["a"], ["b"]]


async def test_then_who_comes_waits_for_one_to_end_and_begins_with_all_that_came(batches):
    gathering = Gathering(batches.begin, wait_ms=LONG_MS, at_once=2)
    for item in "abcde":
        gathering.add(item)
        await turns()
    assert batches.begun == [["a"], ["b"]]
    batches.end(1)
    await turns()
    assert batches.begun == [["a"], ["b"], ["c", "d", "e"]]


async def test_a_batch_that_ends_begins_nothing_where_nobody_waits(batches):
    gathering = Gathering(batches.begin, wait_ms=LONG_MS, at_once=1)
    gathering.add("a")
    await turns()
    batches.end(0)
    await turns()
    assert batches.begun == [["a"]]
    gathering.add("b")
    await turns()
    assert batches.begun == [["a"], ["b"]]


async def test_of_those_that_waited_each_begins_once(batches):
    gathering = Gathering(batches.begin, wait_ms=20.0, at_once=1)
    for item in "ab":
        gathering.add(item)
        await turns()
    batches.end(0)
    await turns()
    assert batches.begun == [["a"], ["b"]]
    await asyncio.sleep(0.04)  # the timer of the one that waited finds nothing to begin
    assert batches.begun == [["a"], ["b"]]


async def test_nobody_waits_for_longer_than_he_may_however_slow_those_under_way_are(batches):
    gathering = Gathering(batches.begin, wait_ms=20.0, at_once=1)
    gathering.add("a")
    await turns()
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    batches.more.clear()
    gathering.add("b")
    await asyncio.sleep(0.005)
    gathering.add("c")
    await batches.more.wait()
    assert batches.begun == [["a"], ["b", "c"]]
    # Timers of an event loop may come a millisecond early.
    assert 0.018 <= loop.time() - started_s < 1.0


async def test_the_wait_of_the_next_begins_with_the_next(batches):
    gathering = Gathering(batches.begin, wait_ms=10.0, at_once=1)
    for item in "abc":
        gathering.add(item)
        await asyncio.sleep(0.03)
    assert batches.begun == [["a"], ["b"], ["c"]]


async def test_where_nobody_may_wait_nobody_does(batches):
    gathering = Gathering(batches.begin, wait_ms=0.0, at_once=1)
    for item in "abc":
        gathering.add(item)
        await turns()
    assert batches.begun == [["a"], ["b"], ["c"]]


async def test_a_batch_that_fails_does_not_stop_the_next(batches):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: told.append(what))
    gathering = Gathering(batches.begin, wait_ms=LONG_MS, at_once=1)
    for item in "abc":
        gathering.add(item)
        await turns()
    batches.end(0, ZeroDivisionError("a bug"))
    await turns()
    assert batches.begun == [["a"], ["b", "c"]]
    batches.end(1)
    await turns()
    gathering.add("d")
    await turns()
    assert batches.begun[-1] == ["d"]
    assert isinstance(told[0]["exception"], ZeroDivisionError)


async def test_of_more_than_fit_who_came_first_begins_first_and_nobody_is_left_out(batches):
    gathering = Gathering(batches.begin, wait_ms=LONG_MS, batch_max=2, at_once=1)
    for item in "abcde":
        gathering.add(item)
    for at in range(3):
        await turns()
        batches.end(at)
    await turns()
    assert batches.begun == [["a", "b"], ["c", "d"], ["e"]]


async def test_who_is_late_lets_all_before_him_who_are_not(batches):
    late = set("abc")
    gathering = Gathering(
        batches.begin, wait_ms=LONG_MS, late=lambda item: item in late, batch_max=2, at_once=1
    )
    for item in "abcdef":
        gathering.add(item)
    await turns()
    assert batches.begun == [["d", "e"]]
    for at in range(3):
        batches.end(at)
        await turns()
    assert batches.begun[1:] == [["c", "f"], ["a", "b"]], "the newest of those who are late"


async def test_those_who_have_gone_are_forgotten_before_they_pile_up(batches):
    gone = set()
    gathering = Gathering(
        batches.begin, wait_ms=LONG_MS, gone=lambda item: item in gone, batch_max=2
    )
    gathering.add("first")
    await turns()
    for item in range(20):
        gathering.add(item)
    gone |= set(range(15))
    batches.end(0)
    await turns()
    assert batches.begun == [["first"], [15, 16]]
    assert gathering.oldest == 17
    for at in (1, 2):
        batches.end(at)
        await turns()
    assert batches.begun[2:] == [[17, 18], [19]]
    assert gathering.oldest is None


async def test_few_are_not_looked_at(batches):
    gathering = Gathering(batches.begin, wait_ms=LONG_MS, gone=lambda _item: True, batch_max=2)
    gathering.add("first")
    await turns()
    for item in range(MANY_BATCHES * 2):
        gathering.add(item)
    batches.end(0)
    await turns()
    assert batches.begun[1] == [0, 1]
    assert gathering.behind == MANY_BATCHES * 2 - 2
