"""How long until an attempt that one region decided is in the features that another one reads.

Every region is sent attempts at a steady rate, each with a card of its own. The counters of every
card that was answered are then asked for in all regions, the way a scorer asks: own primary and
local copies, merged. A card is visible in a region when it is no longer one that was never seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import numpy as np

from app.features.merge import Ask
from app.features.online import OnlineStore
from app.features.spec import Entity, InputState
from app.fresh_id import fresh_id
from app.registry import DEMO_TENANT
from app.settings import ScorerSettings
from chaos.sources import sources_of
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.errors import RungError

__all__ = ["BOUND_MS", "Place", "Spread", "measure_spread"]

BOUND_MS = 2_000.0
POLL_S = 0.01
DRAIN_S = 10.0
READ_MS = 1_000
# Cards that are looked for at once.
TOGETHER = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A region, to be asked.

    Attributes:
        region: its name.
        api: address of its API.
        settings: of its scorers.
    """

    region: str
    api: str
    settings: ScorerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What was found of one pair of regions.

    Attributes:
        decided_in: the region that was sent the attempts.
        read_in: the region whose features they were looked for in.
        attempts: that were answered.
        seen: of them, within the time.
        age_ms: quantiles of the time from the answer to the features, ms, by name; to within the
            10 ms between two looks.
    """

    decided_in: str
    read_in: str
    attempts: int
    seen: int
    age_ms: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether every attempt was seen, 99 % of them within the bound."""
        return 0 < self.attempts == self.seen and self.age_ms["p99"] < BOUND_MS


async def measure_spread(
    places: Sequence[Place],
    *,
    key: str,
    body: Mapping[str, Any],
    rate: float,
    seconds: float,
    report: Callable[[float], None] = lambda _share: None,
) -> list[Spread]:
    """Send attempts to all regions, and look for each in all of them.

    Args:
        places: the regions.
        key: API key.
        body: an attempt, sent with ids of its own.
        rate: attempts a second to each region.
        seconds: how long.
        report: told the share done.
    """
    readers = {place.region: _Reader(place.settings) for place in places}
    looking = [asyncio.create_task(reader.run()) for reader in readers.values()]
    decided: dict[str, dict[str, float]] = {place.region: {} for place in places}

    def note(region: str, card: str) -> None:
        decided[region][card] = time.monotonic()
        for reader in readers.values():
            reader.wanted.add(card)

    try:
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=2.0), headers={"X-Api-Key": key}
        ) as session:
            sending = [
                _send(session, place, body, rate=rate, seconds=seconds, note=note)
                for place in places
            ]
            await asyncio.gather(_told(report, seconds), *sending)
        for _ in range(int(DRAIN_S / POLL_S)):
            if not any(reader.wanted for reader in readers.values()):
                break
            await asyncio.sleep(POLL_S)
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)
        for reader in readers.values():
            await reader.store.close()
    return [
        _spread(one, other, decided[one], readers[other].seen_s)
        for one in decided
        for other in readers
    ]


def _spread(one: str, other: str, decided: dict[str, float], seen: dict[str, float]) -> Spread:
    ages = [(seen[card] - at_s) * 1_000 for card, at_s in decided.items() if card in seen]
    names = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    values = np.percentile(ages, list(names.values())) if ages else [float("nan")] * len(names)
    return Spread(
        decided_in=one,
        read_in=other,
        attempts=len(decided),
        seen=len(ages),
        age_ms={name: round(float(value), 1) for name, value in zip(names, values, strict=True)},
    )


async def _told(report: Callable[[float], None], seconds: float) -> None:
    """Tell how much of the time has passed."""
    start_s = time.monotonic()
    while (passed_s := time.monotonic() - start_s) < seconds:
        report(passed_s / seconds)
        await asyncio.sleep(min(0.5, seconds - passed_s))
    report(1.0)


async def _send(
    session: aiohttp.ClientSession,
    place: Place,
    body: Mapping[str, Any],
    *,
    rate: float,
    seconds: float,
    note: Callable[[str, str], None],
) -> None:
    """Send a region its attempts, each at its time."""

    async def one() -> None:
        card = fresh_id("tok")
        instrument = {**body["instrument"], "token": card}
        attempt = {**body, "attempt_id": fresh_id("att"), "instrument": instrument}
        async with session.post(
            f"{place.api}/v1/decisions",
            data=msgspec.json.encode(attempt),
            headers={"Content-Type": "application/json"},
        ) as response:
            await response.read()
            if response.status == 200:
                note(place.region, card)

    start_s, sent = time.monotonic(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, start_s + number / rate - time.monotonic()))
        sent.append(asyncio.create_task(one()))
    await asyncio.gather(*sent)


@dataclass
class _Reader:
    """Asks one region's sources for cards, as its scorers do.

    Attributes:
        settings: of its scorers.
        wanted: cards that are still to be seen.
        seen_s: when each was, monotonic.
    """

    settings: ScorerSettings
    wanted: set[str] = field(default_factory=set)
    seen_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        features = self.settings.feature_set
        self._card = features.entities.index(Entity.CARD)
        self._clock = SystemClock()
        self.store = OnlineStore(
            sources_of(self.settings, timeout_ms=READ_MS),
            features=features,
            now_ms=lambda: time.time_ns() // 1_000_000,
            age_max_ms=self.settings.counters_age_max_ms,
        )

    async def run(self) -> None:
        """Look again and again."""
        while True:
            wanted = list(self.wanted)
            for at in range(0, len(wanted), TOGETHER):
                await self._look(wanted[at : at + TOGETHER])
            await asyncio.sleep(POLL_S)

    async def _look(self, cards: Sequence[str]) -> None:
        """Look for some; one that cannot be read is looked for again, and not seen meanwhile."""
        deadline = Deadline.after(budget_ms=READ_MS, clock=self._clock)
        asks = [Ask(DEMO_TENANT, {Entity.CARD: card}, float("nan")) for card in cards]
        for card, read in zip(cards, await self.store.begin(asks, deadline).finish(), strict=True):
            if isinstance(read, RungError):
                continue
            if isinstance(read, Exception):
                raise read
            if read.states[self._card] == InputState.PRESENT.value:
                self.seen_s[card] = time.monotonic()
                self.wanted.discard(card)
