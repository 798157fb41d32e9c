"""Fifty attempts on one card within 300 ms: how many are approved?

In one region, over its workers, and over all regions; while models decide, and with the models
withdrawn, so that rules and brake do. The brake's bound is `chaos.brake_bound`'s. A model has no
limit of its own: its counters are some 40 ms behind in its region and half a round trip more in
others, and what is approved before they show the burst is what is approved.

Fifty attempts at once are a load as well: where workers fall behind, the last rung answers, which
knows no velocity. What it approves is shown apart; the stand-in budget bounds it, by instrument
and host, see `chaos.exposure`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from chaos.attack import DECIDES
from chaos.brake_bound import bound_of
from chaos.checkout import Checkout, Decided, Population
from chaos.spread import Place

__all__ = ["Burst", "BurstResult", "run_burst"]

ATTEMPTS, WITHIN_S = 50, 0.3
SETTLE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Some bursts of one kind.

    Attributes:
        regions: that each was spread over.
        decides: "model" or "brake".
        rounds: bursts, each on a card of its own.
        attempts: of each.
        approved: of each, by what decides.
        beside: of each, by other rungs, since workers fell behind.
        sent_ms: from the first attempt's sending to the last one's, the longest.
        bound: of the brake; None where models decide.
        rungs: answers by rung.
    """

    regions: int
    decides: str
    rounds: int
    attempts: int
    approved: list[int]
    beside: list[int]
    sent_ms: float
    bound: int | None
    rungs: dict[str, int]

    @property
    def passed(self) -> bool:
        """Whether no burst was approved past the bound, where there is one."""
        return self.bound is None or max(self.approved) <= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstResult:
    """All kinds.

    Attributes:
        workers: of each region.
        limit: attempts of a card at which a worker's brake stops.
        bursts: by kind.
    """

    workers: int
    limit: int
    bursts: list[Burst]

    @property
    def passed(self) -> bool:
        """Whether all did, and the brake let something through."""
        braked = [burst for burst in self.bursts if burst.bound is not None]
        told = all(max(burst.approved) > 0 for burst in braked)
        return bool(braked) and told and all(burst.passed for burst in self.bursts)


async def run_burst(
    places: Sequence[Place],
    withdrawn: AbstractContextManager[None],
    *,
    key: str,
    template: Mapping[str, Any],
    limit: int,
    rounds: int,
    seed: int = 1,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> BurstResult:
    """Run it.

    Args:
        places: the regions.
        withdrawn: takes the models of all away.
        key: API key.
        template: an attempt.
        limit: see `chaos.brake_bound.card_limit`.
        rounds: bursts of each kind.
        seed: of what is sent.
        report: told the share done and what is being done.
    """
    population = Population.of(template, cards=2, rng=random.Random(seed))
    workers = places[0].settings.workers
    spreads = (places[:1], places)
    async with Checkout(key) as checkout:

        async def of_kind(among: Sequence[Place], bound: int | None) -> Burst:
            return await _bursts(checkout, among, population, rounds=rounds, bound=bound)

        report(0.0, "models decide")
        bursts = [await of_kind(among, None) for among in spreads]
        with withdrawn:
            report(0.5, "the models are withdrawn: the brake decides")
            await asyncio.sleep(SETTLE_S)
            bursts += [
                await of_kind(among, bound_of(limit, workers=workers, regions=len(among)))
                for among in spreads
            ]
    report(1.0, "done")
    return BurstResult(workers=workers, limit=limit, bursts=bursts)


async def _bursts(
    checkout: Checkout,
    among: Sequence[Place],
    population: Population,
    *,
    rounds: int,
    bound: int | None,
) -> Burst:
    decides = "model" if bound is None else "brake"
    approved, beside, rungs, longest_ms = [], [], Counter[str](), 0.0
    for _ in range(rounds):
        decided, sent_ms = await _burst(checkout, among, population.attack())
        by_it = [one.rung in DECIDES[decides] for one in decided if one.action == "approve"]
        approved.append(sum(by_it))
        beside.append(len(by_it) - sum(by_it))
        rungs.update(one.rung for one in decided)
        longest_ms = max(longest_ms, sent_ms)
    return Burst(
        regions=len(among),
        decides=decides,
        rounds=rounds,
        attempts=ATTEMPTS,
        approved=approved,
        beside=beside,
        sent_ms=round(longest_ms, 1),
        bound=bound,
        rungs=dict(rungs),
    )


async def _burst(
    checkout: Checkout, among: Sequence[Place], attempt: Callable[[], dict[str, Any]]
) -> tuple[list[Decided], float]:
    """One burst: the answers, and how long its sending took, ms."""
    start_s, tasks = time.monotonic(), []
    for number in range(ATTEMPTS):
        due_s = start_s + number * WITHIN_S / ATTEMPTS
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        sending = checkout.send(among[number % len(among)], attempt())
        tasks.append(asyncio.create_task(sending))
    sent_ms = (time.monotonic() - start_s) * 1_000
    return list(await asyncio.gather(*tasks)), sent_ms
