from __future__ import annotations

import asyncio

import pytest

from fallback.bulkhead import Bulkhead
from fallback.errors import BulkheadFull


def test_calls_up_to_the_limit_pass_and_the_next_is_refused_by_name():
    bulkhead = Bulkhead("full", limit=2)
    with bulkhead, bulkhead, pytest.raises(BulkheadFull, match="full: 2 calls in flight"), bulkhead:
        pass
    assert (bulkhead.in_use, bulkhead.peak, bulkhead.rejected) == (0, 2, 1)


def test_a_slot_is_given_back_after_an_error():
    bulkhead = Bulkhead("full", limit=1)
    with pytest.raises(RuntimeError), bulkhead:
        raise RuntimeError
    with bulkhead:
        assert bulkhead.in_use == 1


async def test_a_slot_is_given_back_when_the_call_in_it_is_cancelled():
    bulkhead = Bulkhead("full", limit=1)

    async def wait():
        with bulkhead:
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert bulkhead.in_use == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bulkhead.in_use == 0


def test_a_bulkhead_that_admits_nothing_is_refused():
    with pytest.raises(ValueError, match="limit"):
        Bulkhead("full", limit=0)
