"""Load: payment attempts at a steady rate, each sent at its own time whatever came before.

Latency counts from the time an attempt should have been sent, so a service that stalls is
charged for every attempt that had to wait (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from app.fresh_id import fresh_id

__all__ = ["Load", "Outcome"]

TIMEOUT_S = 2.0
ACTIONS = frozenset({"approve", "step_up", "decline"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        due_s: when it should have been sent, monotonic.
        latency_ms: from then to the answer.
        failure: why it is bad; None for a valid decision within the deadline.
        rung: that answered.
        not_higher: why each higher rung did not.
        decision_id: of the answer.
    """

    due_s: float
    latency_ms: float
    failure: str | None
    rung: str | None
    not_higher: dict[str, str]
    decision_id: str | None


class Load:
    """Attempts against one region's API."""

    def __init__(
        self,
        api: str,
        *,
        key: str,
        bodies: Sequence[dict[str, Any]],
        rate: float,
        deadline_ms: float = 100.0,
        keep_alive: bool = True,
    ) -> None:
        """Prepare a load.

        Args:
            api: address of the service.
            key: API key.
            bodies: attempts to send in turn, each with an attempt id of its own.
            rate: attempts a second.
            deadline_ms: the hard stop; a later answer is a failure.
            keep_alive: whether connections are used again; a new one for each attempt spreads
                the attempts over all workers at any time.
        """
        self.outcomes: list[Outcome] = []
        self._url = f"{api}/v1/decisions"
        self._headers = {"X-Api-Key": key, "Content-Type": "application/json"}
        self._bodies = itertools.cycle(bodies)
        self._interval_s = 1.0 / rate
        self._deadline_ms = deadline_ms
        self._keep_alive = keep_alive

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send for as long as the block runs; every attempt's outcome is in before it ends."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            connector=aiohttp.TCPConnector(limit=0, force_close=not self._keep_alive),
        ) as session:
            task = asyncio.create_task(self._send_on_time(session))
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def since(self, start_s: float) -> list[Outcome]:
        """Outcomes of attempts due from an instant on."""
        return [outcome for outcome in self.outcomes if outcome.due_s >= start_s]

    async def wait_for(
        self, accept: Callable[[Outcome], bool], *, in_a_row: int, timeout_s: float
    ) -> float | None:
        """Seconds until so many attempts in a row were as wanted; None if they never were."""
        start_s = time.monotonic()
        while time.monotonic() - start_s < timeout_s:
            recent = self.since(start_s)
            for at in range(len(recent) - in_a_row + 1):
                if all(accept(outcome) for outcome in recent[at : at + in_a_row]):
                    return recent[at].due_s - start_s
            await asyncio.sleep(0.05)
        return None

    async def _send_on_time(self, session: aiohttp.ClientSession) -> None:
        in_flight: set[asyncio.Task[None]] = set()
        start_s = time.monotonic()
        try:
            for number in itertools.count():
                due_s = start_s + number * self._interval_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                task = asyncio.create_task(self._attempt(session, due_s))
                in_flight.add(task)
                task.add_done_callback(in_flight.discard)
        finally:
            await asyncio.gather(*in_flight)

    async def _attempt(self, session: aiohttp.ClientSession, due_s: float) -> None:
        body = {**next(self._bodies), "attempt_id": fresh_id("att")}
        answer: dict[str, Any] = {}
        failure: str | None = None
        try:
            async with session.post(
                self._url, data=msgspec.json.encode(body), headers=self._headers
            ) as response:
                content = await response.read()
                if response.status == 200:
                    answer = msgspec.json.decode(content)
                else:
                    failure = f"status {response.status}"
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            failure = type(error).__name__
        latency_ms = (time.monotonic() - due_s) * 1_000
        if failure is None and answer.get("action") not in ACTIONS:
            failure = "no action"
        if failure is None and latency_ms > self._deadline_ms:
            failure = "late"
        self.outcomes.append(
            Outcome(
                due_s=due_s,
                latency_ms=latency_ms,
                failure=failure,
                rung=answer.get("rung"),
                not_higher=answer.get("not_higher", {}),
                decision_id=answer.get("decision_id"),
            )
        )
