"""Requests of one turn of the loop share a batch; each gets its own result or error."""

from __future__ import annotations

import asyncio

import pytest

from app.coalesce import Coalescer


class Batches:
    """Doubles numbers; remembers the batches. `answer` may be replaced."""

    def __init__(self, *, batch_max=100):
        self.seen = []
        self.answer = lambda batch: [2 * item for item in batch]
        self.coalescer = Coalescer(self.run, batch_max=batch_max)

    async def run(self, batch):
        self.seen.append(batch)
        await asyncio.sleep(0)
        return self.answer(batch)


async def gathered(coalescer, items):
    return await asyncio.gather(*map(coalescer.submit, items), return_exceptions=True)


async def test_a_lone_item_does_not_wait():
    seen = []

    def run(batch):
        seen.append(batch)
        return batch

    future = Coalescer(run, batch_max=8).submit("alone")
    await asyncio.sleep(0)  # one turn of the loop
    assert seen == [["alone"]]
    assert future.result() == "alone"


async def test_items_of_one_turn_share_a_batch_and_keep_their_order():
    batches = Batches()
    assert await gathered(batches.coalescer, [1, 2, 3]) == [2, 4, 6]
    assert batches.seen == [[1, 2, 3]]


async def test_items_of_a_later_turn_get_a_batch_of_their_own():
    batches = Batches()
    first = batches.coalescer.submit(1)
    await asyncio.sleep(0)
    second = batches.coalescer.submit(2)
    assert await asyncio.gather(first, second) == [2, 4]
    assert batches.seen == [[1], [2]]


async def test_a_batch_does_not_outgrow_its_bound():
    batches = Batches(batch_max=2)
    assert await gathered(batches.coalescer, range(5)) == [0, 2, 4, 6, 8]
    assert batches.seen == [[0, 1], [2, 3], [4]]


async def test_an_error_of_the_batch_reaches_every_request():
    batches = Batches()

    def fail(batch):
        raise OSError("away")

    batches.answer = fail
    results = await gathered(batches.coalescer, [1, 2])
    assert [str(result) for result in results] == ["away", "away"]


async def test_an_error_of_one_item_reaches_its_request_alone():
    batches = Batches()
    batches.answer = lambda batch: [1, ValueError("bad"), 3]
    one, two, three = await gathered(batches.coalescer, "abc")
    assert (one, three) == (1, 3)
    assert isinstance(two, ValueError)


async def test_an_error_raised_without_a_coroutine_reaches_every_request():
    def run(batch):
        raise OSError("away")

    results = await gathered(Coalescer(run, batch_max=8), [1, 2])
    assert [type(result) for result in results] == [OSError, OSError]


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_an_outcome_of_the_wrong_length_leaves_nobody_waiting(asynchronous):
    async def later(batch):
        return [1]

    coalescer = Coalescer(later if asynchronous else lambda batch: [1], batch_max=8)
    one, two = await asyncio.wait_for(gathered(coalescer, "ab"), 1)
    assert one == 1
    assert isinstance(two, ValueError)


async def test_a_cancelled_request_does_not_hurt_its_batch():
    batches = Batches()
    gone, stays = batches.coalescer.submit(1), batches.coalescer.submit(2)
    gone.cancel()
    assert await stays == 4
    assert gone.cancelled()


async def test_a_request_cancelled_while_its_batch_runs_does_not_hurt_it():
    batches = Batches()
    gone, stays = batches.coalescer.submit(1), batches.coalescer.submit(2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert batches.seen == [[1, 2]]
    gone.cancel()
    assert await stays == 4


async def test_a_batch_that_is_cancelled_leaves_nobody_waiting():
    async def run(batch):
        raise asyncio.CancelledError

    future = Coalescer(run, batch_max=8).submit(1)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(future, 1)
