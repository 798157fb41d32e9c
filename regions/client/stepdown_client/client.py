"""The client: asks regions for a decision on an attempt, and decides by itself at last."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

import msgspec

from stepdown_client.addresses import Lookup, PinnedAddresses, system_lookup
from stepdown_client.answer import CLIENT_DEFAULT, Answer, ReasonText
from stepdown_client.asking import Asker, Question
from stepdown_client.attempt import Attempt, canonical
from stepdown_client.budget import TokenBucket
from stepdown_client.chores import Chores
from stepdown_client.clock import Clock, SystemClock
from stepdown_client.errors import RefusedError, TryError
from stepdown_client.events import Defaulted, Listener, told
from stepdown_client.flight import Budgets, Flight, Landed
from stepdown_client.pool import Endpoint, Pool
from stepdown_client.routing import RoutingTable, trusted_keys
from stepdown_client.settings import ClientSettings
from stepdown_client.stand_ins import StandIn, StandIns
from stepdown_client.standing import TEXTS, Standing
from stepdown_client.stats import ClientStats, RegionStats
from stepdown_client.transport import Transport

__all__ = ["StepdownClient"]

HEDGE_BURST = 10.0


class StepdownClient:
    """Decides payment attempts. Belongs to one event loop; use it as an async context manager."""

    def __init__(
        self,
        settings: ClientSettings,
        *,
        listener: Listener | None = None,
        lookup: Lookup = system_lookup,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Make the client; it does nothing yet.

        Args:
            settings: endpoints, key and limits.
            listener: is told of events; quick, and on the client's loop.
            lookup: asks DNS.
            clock: both kinds of time.
            rng: for weights, ramps and jitter.

        Raises:
            RoutingError: a trusted key cannot be read.
        """
        self._settings = settings
        self._clock = clock or SystemClock()
        self._tell = told(listener)
        rng = rng or random.Random()
        self._pool = Pool(settings, clock=self._clock, rng=rng, tell=self._tell)
        self._budgets = Budgets(
            hedges=TokenBucket(share=settings.hedge_share, burst=HEDGE_BURST),
            retries=TokenBucket(share=settings.retry_share, burst=settings.retry_burst),
        )
        keys = trusted_keys(settings.trusted_keys)
        self._table = RoutingTable(keys, cache=settings.routing_cache)
        self._standing = Standing(clock=self._clock)
        self._stand_ins = StandIns(settings.stand_ins, size_max=settings.stand_ins_max)
        addresses = PinnedAddresses(lookup, every_s=settings.dns_s, clock=self._clock)
        self._transport = Transport(settings, addresses)
        self._asker = Asker(
            settings=settings,
            pool=self._pool,
            transport=self._transport,
            table=self._table,
            clock=self._clock,
            tell=self._tell,
        )
        self._chores = Chores(
            settings=settings,
            pool=self._pool,
            table=self._table,
            stand_ins=self._stand_ins,
            transport=self._transport,
            clock=self._clock,
            rng=rng,
            tell=self._tell,
        )
        self._late: set[asyncio.Task[None]] = set()
        self._counts = dict.fromkeys(
            ("requests", "answered", "unsigned", "refused", "defaults", "hedges_won"), 0
        )

    async def __aenter__(self) -> Self:
        """Take over what was kept, ask for the routing document once, begin the chores."""
        self._chores.route()
        await self._chores.refresh()
        self._chores.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the chores, hang up, leave in the file what was not posted back."""
        await self._chores.stop()
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._transport.close()
        self._stand_ins.close()

    async def decide(
        self,
        attempt: Attempt | Mapping[str, Any] | bytes,
        *,
        deadline_ms: float | None = None,
        traceparent: str | None = None,
    ) -> Answer:
        """Decide one attempt. Give a repeated attempt the same `attempt_id`.

        Args:
            attempt: as a struct, as what JSON decodes to, or as JSON.
            deadline_ms: for the answer; the setting's by default.
            traceparent: W3C trace context.

        Returns:
            A region's answer, or within a moment of the deadline the client default's.

        Raises:
            InvalidAttemptError: it is no attempt.
            RefusedError: the service refuses it.
        """
        started_s = self._clock.monotonic()
        checked, body = canonical(attempt)
        self._counts["requests"] += 1
        if (bound := self._stand_ins.find(checked.attempt_id)) is not None:
            return self._as_default(bound, tries=0, started_s=started_s)
        self._budgets.request()
        self._chores.saw(checked.merchant.id)
        deadline_ms = self._settings.deadline_ms if deadline_ms is None else deadline_ms
        landed = await self._fly(checked, body, deadline_ms, traceparent)
        if landed.answer is None:
            answer = self._default(checked, landed.tries, started_s)
        else:
            self._counts["answered"] += 1
            self._counts["unsigned"] += not landed.answer.signed
            self._counts["hedges_won"] += landed.by_hedge
            answer = msgspec.structs.replace(
                landed.answer, tries=landed.tries, elapsed_ms=self._since_ms(started_s)
            )
        for task, endpoint in landed.still.items():
            self._follow_up(task, endpoint, answer.decision_id)
        return answer

    async def wait_posted_back(self, *, timeout_s: float) -> bool:
        """Wait until nothing is left to be posted back. Returns whether that came in time."""
        return await self._chores.wait_idle(timeout_s)

    def stats(self) -> ClientStats:
        """What was done so far, and how the endpoints stand."""
        routing = self._table.routing
        endpoints = self._pool.endpoints.values()
        return ClientStats(
            **self._counts,
            retries=self._budgets.retries.taken,
            hedges=self._budgets.hedges.taken,
            ejections=sum(one.health.ejections for one in endpoints),
            superseded=self._chores.superseded,
            supersede_failed=self._chores.supersede_failed,
            posted_back=self._chores.posted_back,
            waiting=len(self._stand_ins),
            dropped=self._stand_ins.dropped,
            routing_version=None if routing is None else routing.version,
            routing_expired=self._table.expired(self._clock.wall()),
            routing_refused=self._table.refused,
            regions={one.region: _region_stats(one) for one in endpoints},
        )

    async def _fly(
        self, attempt: Attempt, body: bytes, deadline_ms: float, traceparent: str | None
    ) -> Landed:
        question = Question(attempt_id=attempt.attempt_id, body=body, traceparent=traceparent)

        async def send(endpoint: Endpoint, number: int, left_ms: float) -> Answer:
            return await self._asker.ask(endpoint, question, number=number, left_ms=left_ms)

        flight = Flight(
            attempt.attempt_id,
            self._pool.order(),
            send,
            budgets=self._budgets,
            deadline_ms=deadline_ms,
            clock=self._clock,
            tell=self._tell,
        )
        try:
            return await flight.fly()
        except RefusedError:
            self._counts["refused"] += 1
            raise

    def _default(self, attempt: Attempt, tries: int, started_s: float) -> Answer:
        """Decide without a region, and keep it to be posted back."""
        routing = self._table.routing
        verdict = self._standing.decide(attempt, routing)
        self._counts["defaults"] += 1
        stand_in = StandIn(
            attempt=attempt,
            action=verdict.action,
            decided_at=datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(),
            policy_version=0 if routing is None else routing.policy_version,
            reasons=verdict.reasons,
        )
        self._stand_ins.add(stand_in)
        self._chores.wake()
        self._tell(
            Defaulted(attempt_id=attempt.attempt_id, action=verdict.action, reasons=verdict.reasons)
        )
        return self._as_default(stand_in, tries=tries, started_s=started_s)

    def _as_default(self, stand_in: StandIn, *, tries: int, started_s: float) -> Answer:
        return Answer(
            attempt_id=stand_in.attempt.attempt_id,
            action=stand_in.action,
            rung=CLIENT_DEFAULT,
            reasons=[ReasonText(code=code, text=TEXTS[code]) for code in stand_in.reasons],
            policy_version=stand_in.policy_version,
            as_of=stand_in.decided_at,
            tries=tries,
            elapsed_ms=self._since_ms(started_s),
        )

    def _follow_up(self, task: asyncio.Task[Answer], endpoint: Endpoint, bound: str | None) -> None:
        """Wait for a try that was overtaken: a decision of its own has to be superseded."""

        async def wait() -> None:
            try:
                answer = await task
            except (TryError, RefusedError):
                return
            if answer.decision_id is not None and answer.decision_id != bound:
                self._chores.supersede(endpoint, answer.decision_id)

        late = asyncio.create_task(wait())
        self._late.add(late)
        late.add_done_callback(self._late.discard)

    def _since_ms(self, started_s: float) -> float:
        return (self._clock.monotonic() - started_s) * 1_000


def _region_stats(endpoint: Endpoint) -> RegionStats:
    health = endpoint.health
    return RegionStats(
        url=endpoint.url,
        weight=endpoint.weight,
        state=health.state.value,
        share=health.share,
        ejections=health.ejections,
        ejected_for_s=health.ejected_for_s,
        tries=endpoint.tries,
        answers=endpoint.answers,
        failures=dict(endpoint.failures),
        slow=endpoint.slow,
        latency_ms=endpoint.latency.mean_ms,
    )
