"""What counters must hold, from what was sent alone, and whether every region reads just that.

A counter of attempts is a plain sum over what was sent, as long as all of it is younger than three
quarters of the shortest window (45 minutes): no bucket has begun to leave. Counters are read as
scorers read them, own store and local copies merged, so that a region's answer is what its
decisions would see. What is not known from outside is not compared: whether an attempt was large
for its card, when it was received, and what outcomes and labels count.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from app.api.wire import Attempt
from app.candidate import entity_ids
from app.features.events import Counted
from app.features.merge import Ask
from app.features.online import OnlineStore
from app.features.packed import distinct_bit
from app.features.spec import Aggregate, Counter, Entity, Feature, FeatureSet
from app.registry import DEMO_TENANT
from app.settings import ScorerSettings
from chaos.sources import sources_of
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.errors import RungError

__all__ = [
    "Agreement",
    "CounterReader",
    "Counts",
    "Key",
    "Truth",
    "Wrong",
    "agree",
    "compared",
    "differences",
]

READ_MS = 1_000
# Entities that are read at once.
TOGETHER = 256
POLL_S = 0.05

Key = tuple[Entity, str]
Counts = Mapping[Key, Mapping[str, float]]
_SUMS = (Aggregate.COUNT, Aggregate.SUM, Aggregate.SQUARES)


def compared(features: FeatureSet) -> tuple[Counter, ...]:
    """Counters that follow from what was sent: of attempts, summed or told apart."""
    return tuple(
        counter
        for counter in features.counters
        if counter.counts == Counted.ATTEMPTED
        and not counter.ring.lag_ms
        and counter.aggregate in {*_SUMS, Aggregate.DISTINCT}
    )


class Truth:
    """Everything that was sent and decided, each attempt once."""

    def __init__(self, features: FeatureSet, *, shared: Collection[str] = ()) -> None:
        """Start with nothing.

        Args:
            features: whose counters are compared.
            shared: ids that others send, too; nothing is said of them.
        """
        self.attempts = 0
        self._shared = frozenset(shared)
        self._counters: dict[Entity, list[Counter]] = defaultdict(list)
        for counter in compared(features):
            self._counters[counter.entity].append(counter)
        self._sums: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._bits: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, body: Mapping[str, Any]) -> None:
        """Count an attempt; its amount is in the reference currency."""
        attempt = msgspec.convert(body, Attempt)
        self.attempts += 1
        ids = entity_ids(attempt)
        adds = {
            Aggregate.COUNT: 1,
            Aggregate.SUM: attempt.amount.value,
            Aggregate.SQUARES: attempt.amount.value**2,
        }
        for entity, id in ids.items():
            if id in self._shared:
                continue
            for counter in self._counters.get(entity, ()):
                if counter.aggregate in adds:
                    self._sums[entity, id][counter.name] += adds[counter.aggregate]
                elif counter.of in ids:
                    self._bits[entity, id][counter.name] |= distinct_bit(ids[counter.of])

    def counts(self) -> Counts:
        """What every counter must hold, by entity and name."""
        found: dict[Key, dict[str, float]] = {
            key: {name: float(total) for name, total in totals.items()}
            for key, totals in self._sums.items()
        }
        for key, bitmaps in self._bits.items():
            seen = {name: float(bitmap.bit_count()) for name, bitmap in bitmaps.items()}
            found[key] = found.get(key, {}) | seen
        return found


class CounterReader:
    """Reads a region's counters as its scorers do, each as an input of its own."""

    def __init__(self, settings: ScorerSettings) -> None:
        """Make a reader; it connects with the first read.

        Args:
            settings: of the region's scorers.
        """
        self.region = settings.region
        self._counters = compared(settings.feature_set)
        features = replace(
            settings.feature_set,
            features=tuple(
                Feature(name=counter.name, description="as it is", code="NONE")
                for counter in self._counters
            ),
        )
        self._clock = SystemClock()
        self._store = OnlineStore(
            sources_of(settings, timeout_ms=READ_MS),
            features=features,
            now_ms=lambda: time.time_ns() // 1_000_000,
            age_max_ms=settings.counters_age_max_ms,
        )

    async def read(self, keys: Collection[Key]) -> Counts:
        """Counters by entity; those of an entity that cannot be read from all sources are left out.

        Args:
            keys: of the entities.
        """
        asked = list(keys)
        counts: dict[Key, dict[str, float]] = {}
        for at in range(0, len(asked), TOGETHER):
            counts |= await self._together(asked[at : at + TOGETHER])
        return counts

    async def close(self) -> None:
        """Hang up."""
        await self._store.close()

    async def _together(self, keys: Sequence[Key]) -> dict[Key, dict[str, float]]:
        """One read of all sources, as of a batch of attempts."""
        deadline = Deadline.after(budget_ms=READ_MS, clock=self._clock)
        asks = [Ask(DEMO_TENANT, {entity: id}, float("nan")) for entity, id in keys]
        counts: dict[Key, dict[str, float]] = {}
        for key, read in zip(keys, await self._store.begin(asks, deadline).finish(), strict=True):
            if isinstance(read, RungError):
                continue
            if isinstance(read, Exception):
                raise read
            if read.regions_present == 1.0:
                counts[key] = {
                    counter.name: value
                    for counter, value in zip(self._counters, read.inputs.tolist(), strict=True)
                    if counter.entity is key[0]
                }
        return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A counter that a region reads other than what was sent.

    Attributes:
        region: that reads it.
        entity, id: whose counter it is.
        counter: its name.
        sent: what it must be.
        read: what it is; None if it cannot be read.
    """

    region: str
    entity: str
    id: str
    counter: str
    sent: float
    read: float | None


def differences(region: str, sent: Counts, read: Counts) -> list[Wrong]:
    """Counters that are not what was sent. Inputs are float32, and so is what they are held to."""
    return [
        Wrong(region=region, entity=key[0].value, id=key[1], counter=name, sent=value, read=held)
        for key, counts in sent.items()
        for name, value in counts.items()
        if (held := read.get(key, {}).get(name)) is None or np.float32(value) != np.float32(held)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Whether every region came to read what was sent.

    Attributes:
        entities: that were compared.
        counters: of them, in each region.
        equal_s: by region, from the first look until all were equal; None if they never were.
        lost: attempts that a card's counter lacks, in the region that lacks most.
        twice: attempts that it has too many, in the region that has most.
        wrong: counters that are not equal at last, in all regions.
        examples: a few of them.
    """

    entities: int
    counters: int
    equal_s: dict[str, float | None]
    lost: int
    twice: int
    wrong: int
    examples: list[Wrong] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether they did, and there was something to compare."""
        return self.counters > 0 and self.wrong == 0


async def agree(
    settings: Sequence[ScorerSettings], sent: Counts, *, timeout_s: float, settle_s: float = 2.0
) -> Agreement:
    """Look until every region reads what was sent, and once more: what comes twice comes late.

    Args:
        settings: of each region's scorers.
        sent: what counters must hold.
        timeout_s: when to give up.
        settle_s: from the moment that all are equal to the last look.
    """
    readers = [CounterReader(one) for one in settings]
    start_s = time.monotonic()
    equal_s: dict[str, float | None] = {reader.region: None for reader in readers}
    try:
        while None in equal_s.values() and time.monotonic() - start_s < timeout_s:
            for reader in readers:
                if equal_s[reader.region] is not None:
                    continue
                if not differences(reader.region, sent, await reader.read(sent.keys())):
                    equal_s[reader.region] = round(time.monotonic() - start_s, 2)
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(settle_s)
        by_region = [
            differences(reader.region, sent, await reader.read(sent.keys())) for reader in readers
        ]
    finally:
        for reader in readers:
            await reader.close()
    return _agreement(sent, equal_s, by_region)


def _agreement(
    sent: Counts, equal_s: dict[str, float | None], by_region: list[list[Wrong]]
) -> Agreement:
    off = [[_attempts_off(one) for one in wrong] for wrong in by_region]
    return Agreement(
        entities=len(sent),
        counters=sum(len(counts) for counts in sent.values()),
        equal_s=equal_s,
        lost=max((sum(max(0, -by) for by in region) for region in off), default=0),
        twice=max((sum(max(0, by) for by in region) for region in off), default=0),
        wrong=sum(len(wrong) for wrong in by_region),
        examples=[one for wrong in by_region for one in wrong[:2]],
    )


def _attempts_off(wrong: Wrong) -> int:
    """By how many attempts a card's counter is off; 0 for every other counter."""
    if wrong.counter != "card_attempted_24h":
        return 0
    return round((wrong.read or 0.0) - wrong.sent)
