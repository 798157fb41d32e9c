"""One attempt on its way: a try, a hedge beside it if it takes long, a retry if it fails.

    t = 0                     the first endpoint
    95th percentile of it     the second one beside it, if the hedge budget has a token
    a try failed, none left   the next endpoint, if the retry budget has a token
    the deadline              nobody has answered: None, and the client default decides

Every try has a time of its own (what a region takes at most, and the way), so that one that hangs
leaves time for another region. The first answer that verifies binds. Tries that are still under way
then are left to end by themselves: how long they take is how a slow region is found out, and a
second decision has to be reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from stepdown_client.answer import Answer
from stepdown_client.budget import TokenBucket
from stepdown_client.clock import Clock
from stepdown_client.errors import DeniedError, RefusedError, TryError
from stepdown_client.events import Hedged, Listener, Retried
from stepdown_client.pool import Endpoint

__all__ = ["Budgets", "Flight", "Landed", "Try"]

HEDGE_QUANTILE = 0.95
HEDGE_MS_MIN = 5.0
# Too little to be worth a try.
TRY_MS_MIN = 20.0


class Try(Protocol):
    """Sends the attempt to one endpoint."""

    async def __call__(self, endpoint: Endpoint, number: int, left_ms: float) -> Answer:
        """Try once.

        Args:
            endpoint: to ask.
            number: how often the attempt was sent before.
            left_ms: until the deadline.

        Raises:
            TryError: it did not answer.
            RefusedError: it refuses the attempt.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What extra tries come from."""

    hedges: TokenBucket
    retries: TokenBucket

    def request(self) -> None:
        """A request came."""
        self.hedges.request()
        self.retries.request()


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """How it ended.

    Attributes:
        answer: of a region; None where none answered in time.
        tries: requests sent.
        by_hedge: whether a hedge won.
        still: tries under way, with where they went.
    """

    answer: Answer | None
    tries: int
    by_hedge: bool = False
    still: dict[asyncio.Task[Answer], Endpoint] = field(default_factory=dict)


class Flight:
    """One attempt on its way."""

    def __init__(
        self,
        attempt_id: str,
        order: list[Endpoint],
        send: Try,
        *,
        budgets: Budgets,
        deadline_ms: float,
        clock: Clock,
        tell: Listener,
    ) -> None:
        """Make ready.

        Args:
            attempt_id: whose flight it is.
            order: endpoints, in the order to ask them in.
            send: sends a try.
            budgets: of extra tries.
            deadline_ms: for an answer.
            clock: monotonic.
            tell: is told of hedges and retries.
        """
        self._attempt_id = attempt_id
        # Twice round: a connection that was closed as it was used deserves a second try, and while
        # there is time and a token nobody gives up.
        self._next: Iterator[Endpoint] = iter(order * 2)
        self._send = send
        self._budgets = budgets
        self._clock = clock
        self._tell = tell
        self._ends_s = clock.monotonic() + deadline_ms / 1_000
        self._tries = 0
        self._under_way: dict[asyncio.Task[Answer], Endpoint] = {}
        self._hedge: asyncio.Task[Answer] | None = None
        self._failures: list[Exception] = []
        self._others = len(order) > 1

    async def fly(self) -> Landed:
        """Go.

        Raises:
            RefusedError: the service refuses the attempt, or every endpoint the API key.
        """
        try:
            return await self._fly()
        except asyncio.CancelledError:
            for task in self._under_way:
                task.cancel()
            raise

    async def _fly(self) -> Landed:
        endpoint = next(self._next)
        self._start(endpoint)
        hedge_s = self._hedge_at(endpoint)
        while self._under_way:
            wait_s = min(self._ends_s, hedge_s) - self._clock.monotonic()
            done, _ = await asyncio.wait(
                self._under_way, timeout=max(0.0, wait_s), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                self._under_way.pop(task)
                if (answer := self._ended(task)) is not None:
                    return self._landed(answer, by_hedge=task is self._hedge)
            if self._left_ms() <= 0:
                break
            if not done:
                hedge_s = float("inf")
                self._hedge = self._again(self._budgets.hedges, Hedged)
            elif not self._under_way:
                self._again(self._budgets.retries, Retried)
        denied = [error for error in self._failures if isinstance(error, DeniedError)]
        if denied and len(denied) == self._tries:
            raise RefusedError(denied[0].status, str(denied[0]))
        return self._landed(None)

    def _landed(self, answer: Answer | None, *, by_hedge: bool = False) -> Landed:
        return Landed(answer=answer, tries=self._tries, by_hedge=by_hedge, still=self._under_way)

    def _ended(self, task: asyncio.Task[Answer]) -> Answer | None:
        try:
            answer = task.result()
        except TryError as error:
            self._failures.append(error)
            return None
        return answer

    def _again(
        self, budget: TokenBucket, event: type[Hedged | Retried]
    ) -> asyncio.Task[Answer] | None:
        """One more try, if there is time, somewhere to go and a token."""
        if self._left_ms() < TRY_MS_MIN:
            return None
        endpoint = next(self._next, None)
        if endpoint is None or not budget.take():
            return None
        self._tell(event(region=endpoint.region, attempt_id=self._attempt_id))
        return self._start(endpoint)

    def _start(self, endpoint: Endpoint) -> asyncio.Task[Answer]:
        task = asyncio.create_task(self._send(endpoint, self._tries, self._left_ms()))
        self._tries += 1
        self._under_way[task] = endpoint
        return task

    def _hedge_at(self, endpoint: Endpoint) -> float:
        """When to ask another one beside it, seconds of the clock."""
        after_ms = endpoint.latency.quantile(HEDGE_QUANTILE)
        if after_ms is None or not self._others:
            return float("inf")
        return self._clock.monotonic() + max(after_ms, HEDGE_MS_MIN) / 1_000

    def _left_ms(self) -> float:
        return (self._ends_s - self._clock.monotonic()) * 1_000
