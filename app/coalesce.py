"""One batch for all requests that wait in the same turn of the event loop.

Many costs are per call and not per item: a round trip to a datastore, CatBoost's conversion of a
row. The first item of a turn schedules the batch for the end of the turn; items that arrive until
then join it. A lone item therefore waits for nothing, and the busier a scorer is, the cheaper
each decision gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import CoroutineType
from typing import Generic, TypeVar, cast

__all__ = ["Coalescer", "together"]

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

Outcome = Sequence[ResultT | BaseException]


async def together(calls: Sequence[Awaitable[ResultT]]) -> list[ResultT]:
    """Results of all; a lone call is awaited as it is, which spares a task and a loop turn."""
    return [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)


class Coalescer(Generic[ItemT, ResultT]):
    """Gathers items into batches and hands each its own result or error."""

    def __init__(
        self,
        run: Callable[[list[ItemT]], Coroutine[None, None, Outcome[ResultT]] | Outcome[ResultT]],
        *,
        batch_max: int,
    ) -> None:
        """Make a coalescer.

        Args:
            run: works on a batch; returns one result or error per item, in order, or raises for
                all of them. May be a coroutine function.
            batch_max: most items in one batch.
        """
        self._run = run
        self._batch_max = batch_max
        self._waiting: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, item: ItemT) -> asyncio.Future[ResultT]:
        """Join the batch of this turn; await the future for the result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ResultT] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((item, future))
        return future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), self._batch_max):
            self._start(waiting[start : start + self._batch_max])

    def _start(self, batch: list[tuple[ItemT, asyncio.Future[ResultT]]]) -> None:
        futures = [future for _, future in batch]
        try:
            running = self._run([item for item, _ in batch])
            if not isinstance(running, CoroutineType):  # the abstract class is slower to ask
                _settle(futures, cast("Outcome[ResultT]", running))
                return
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the requests
            _settle(futures, [error] * len(futures))
            return
        task = asyncio.get_running_loop().create_task(self._finish(running, futures))
        self._tasks.add(task)  # the loop keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _finish(
        self,
        running: Coroutine[None, None, Outcome[ResultT]],
        futures: Sequence[asyncio.Future[ResultT]],
    ) -> None:
        try:
            _settle(futures, await running)
        except asyncio.CancelledError:
            for future in futures:  # no request waits for a batch that will not come back
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - as above
            _settle(futures, [error] * len(futures))


def _settle(futures: Sequence[asyncio.Future[ResultT]], outcome: Outcome[ResultT]) -> None:
    for future, result in zip(futures, outcome, strict=True):
        if future.done():  # its request was cancelled
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
