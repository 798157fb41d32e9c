"""Streaming counters as read at decision time, from one datastore per home region.

All attempts that wait in the same loop turn are read with one MGET a source and shard, decoded
with numpy for the whole batch, and merged over the sources by each aggregate's own operator:
totals add, bitmaps OR. Every source stands behind a breaker of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np

from app.coalesce import Coalescer
from app.features.applier import APPLIED_KEY, Applied, shard_of
from app.features.packed import Unreadable, key, layout_of
from app.features.rings import Float64s
from app.features.shard import Command, ShardClient
from app.features.spec import (
    STREAMING,
    STREAMING_ENTITIES,
    Aggregate,
    Entity,
    InputState,
    horizon_ms,
)
from fallback.breaker import Breaker
from fallback.deadline import Deadline
from fallback.errors import (
    DeadlineNear,
    DependencyCorrupt,
    FeaturesStale,
    SourceUnavailable,
)

__all__ = ["OnlineStore", "Source", "Streaming"]

BATCH_MAX = 128

T = TypeVar("T")
Positions = dict[str, tuple[int, int]]

# By how much is known: 0 not mapped, 1 mapped, 2 mapped and live.
_STATES = np.array(
    [state.value for state in (InputState.NOT_MAPPED, InputState.NEVER_SEEN, InputState.PRESENT)],
    dtype=object,
)
_DISTINCT = np.array([counter.aggregate is Aggregate.DISTINCT for counter in STREAMING])
_ENTITY_OF_COUNTER = [STREAMING_ENTITIES.index(counter.entity) for counter in STREAMING]


@dataclass(frozen=True, slots=True)
class Streaming:
    """Counters of one attempt, merged over the sources.

    Attributes:
        values: in the order of `spec.STREAMING`, float64; 0 where never seen, NaN where not
            mapped.
        states: of each of `spec.STREAMING_ENTITIES`.
        as_of_ms: when they were read, ms since the epoch.
        age_ms: age of the oldest source's counters.
        positions: by source, the (epoch, seq) applied of each journal writer.
    """

    values: Float64s
    states: tuple[bytes, ...]
    as_of_ms: int
    age_ms: int
    positions: Mapping[str, Positions]


@dataclass(frozen=True, slots=True)
class _Ask:
    tenant: str
    ids: Mapping[Entity, str]


@dataclass(frozen=True, slots=True)
class _Reply:
    """One source's answer to a batch: values by key, and what it says of itself."""

    region: str
    values: Mapping[str, bytes]
    applied: Sequence[Applied]


class _Columns:
    """Where an entity's windows stand in the order of `spec.STREAMING`."""

    def __init__(self, entity: Entity) -> None:
        self.layout = layout_of(entity)
        self.horizon_ms = horizon_ms(entity)
        self.additive = np.array([STREAMING.index(c) for c in self.layout.additive], dtype=int)
        self.distinct = np.array([STREAMING.index(c) for c in self.layout.distinct], dtype=int)


_COLUMNS = tuple(_Columns(entity) for entity in STREAMING_ENTITIES)


class Source:
    """One home region's datastore, behind its breaker."""

    def __init__(self, region: str, shards: Sequence[ShardClient], *, breaker: Breaker) -> None:
        self.region = region
        self.breaker = breaker
        self._shards = tuple(shards)

    async def fetch(self, names: Sequence[str]) -> _Reply:
        """Read keys.

        Raises:
            RungError: refused by the breaker, failed, or cold.
        """
        by_shard: list[list[str]] = [[] for _ in self._shards]
        for name in names:
            by_shard[shard_of(name, len(self._shards))].append(name)
        with self.breaker.call():
            waiting = [
                shard.submit("MGET", APPLIED_KEY, *part)
                for shard, part in zip(self._shards, by_shard, strict=True)
            ]
            replies: list[list[bytes | None]] = await _together(waiting)
            applied = [_applied(own, self.region) for own, *_ in replies]
        values = {
            name: value
            for part, (_, *found) in zip(by_shard, replies, strict=True)
            for name, value in zip(part, found, strict=True)
            if value is not None
        }
        return _Reply(self.region, values, applied)

    async def write(self, commands: Mapping[str, Command]) -> list[Any]:
        """Send one command a key, together with what is read in the same turn.

        Args:
            commands: command by the key it is about, which says its shard.

        Returns:
            Their replies, in order.

        Raises:
            RungError: refused by the breaker, or one of them failed.
        """
        with self.breaker.call():
            return await _together(
                [
                    self._shards[shard_of(name, len(self._shards))].submit(*command)
                    for name, command in commands.items()
                ]
            )

    async def close(self) -> None:
        """Close the connections."""
        for shard in self._shards:
            await shard.close()


class OnlineStore:
    """All sources, read together."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        now_ms: Callable[[], int],
        age_max_ms: int,
        needed_ms: float = 2.0,
    ) -> None:
        """Make the store.

        Args:
            sources: one per home region, at least one.
            now_ms: wall clock, ms since the epoch.
            age_max_ms: counters older than this are stale.
            needed_ms: with less than this left, the read is not begun.
        """
        self.sources = tuple(sources)
        self._now_ms = now_ms
        self._age_max_ms = age_max_ms
        self._needed_ms = needed_ms
        self._reads: Coalescer[_Ask, Streaming] = Coalescer(self._read, batch_max=BATCH_MAX)

    async def read(self, tenant: str, ids: Mapping[Entity, str], deadline: Deadline) -> Streaming:
        """Counters of one attempt.

        Raises:
            DeadlineNear: too little time is left to ask.
            RungError: a source cannot be used, or the attempt's own value cannot be read.
        """
        if not deadline.allows(self._needed_ms):
            raise DeadlineNear("no time left to read the counters")
        return await self._reads.submit(_Ask(tenant, ids))

    async def close(self) -> None:
        """Close every source."""
        for source in self.sources:
            await source.close()

    async def _read(self, asks: list[_Ask]) -> list[Streaming | BaseException]:
        batch = _Batch(asks)
        names = batch.names()
        # All or none: the model knows no missing source, so the first refusal ends the wait.
        replies: list[_Reply] = await _together([source.fetch(names) for source in self.sources])
        as_of_ms = self._now_ms()
        applied_ms = min(own.as_of_ms for reply in replies for own in reply.applied)
        age_ms = max(as_of_ms - applied_ms, 0)
        if age_ms > self._age_max_ms:
            raise FeaturesStale(f"the counters are {age_ms} ms old")
        for reply in replies:
            batch.add(reply, as_of_ms)
        positions = {
            reply.region: {name: at for own in reply.applied for name, at in own.positions.items()}
            for reply in replies
        }
        return batch.results(as_of_ms, age_ms, positions)


class _Batch:
    """Attempts that are read together: their keys, and their counters source by source."""

    def __init__(self, asks: Sequence[_Ask]) -> None:
        rows = len(asks)
        self._keys = [
            [
                (row, key(ask.tenant, entity, ask.ids[entity]))
                for row, ask in enumerate(asks)
                if entity in ask.ids
            ]
            for entity in STREAMING_ENTITIES
        ]
        self._totals = np.zeros((rows, len(STREAMING)))
        self._bitmaps = np.zeros((rows, len(STREAMING)), dtype=np.uint64)
        self._mapped = np.zeros((rows, len(STREAMING_ENTITIES)), dtype=bool)
        self._live = np.zeros((rows, len(STREAMING_ENTITIES)), dtype=bool)
        self._corrupt: dict[int, DependencyCorrupt] = {}
        for at, keys in enumerate(self._keys):
            self._mapped[[row for row, _ in keys], at] = True

    def names(self) -> list[str]:
        """Every key of the batch, once."""
        return list(dict.fromkeys(name for keys in self._keys for _, name in keys))

    def add(self, reply: _Reply, now_ms: int) -> None:
        """Merge one source's values in, as of `now_ms`."""
        for at, keys in enumerate(self._keys):
            found = [
                (row, raw) for row, name in keys if (raw := reply.values.get(name)) is not None
            ]
            if found:
                self._add_entity(at, found, reply.region, now_ms)

    def _add_entity(
        self, at: int, found: Sequence[tuple[int, bytes]], region: str, now_ms: int
    ) -> None:
        columns = _COLUMNS[at]
        try:
            records = columns.layout.decode([raw for _, raw in found])
        except Unreadable as error:
            if len(found) == 1:
                self._corrupt[found[0][0]] = DependencyCorrupt(str(error), dependency=region)
                return
            for one in found:  # find the one that spoils the batch
                self._add_entity(at, [one], region, now_ms)
            return
        windows = columns.layout.windows(records, np.array([now_ms]))
        rows = np.array([row for row, _ in found])
        # A value that is past its horizon adds nothing, but "never seen" is said of it.
        self._live[rows, at] |= windows.base_ms >= now_ms - columns.horizon_ms
        self._totals[rows[:, None], columns.additive] += windows.totals
        self._bitmaps[rows[:, None], columns.distinct] |= windows.bitmaps

    def results(
        self, as_of_ms: int, age_ms: int, positions: Mapping[str, Positions]
    ) -> list[Streaming | BaseException]:
        """What each attempt gets."""
        values = np.where(_DISTINCT, np.bitwise_count(self._bitmaps), self._totals)
        values[~self._mapped[:, _ENTITY_OF_COUNTER]] = np.nan
        states = _STATES[self._mapped.astype(np.int8) + self._live].tolist()
        return [
            self._corrupt.get(row)
            or Streaming(values[row], tuple(states[row]), as_of_ms, age_ms, positions)
            for row in range(len(values))
        ]


async def _together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Results of all; a lone call is awaited as it is, which spares a task and a loop turn."""
    return [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)


def _applied(raw: bytes | None, region: str) -> Applied:
    if raw is None:
        raise SourceUnavailable("the store is cold", dependency=region)
    try:
        applied = msgspec.msgpack.decode(raw, type=Applied)
    except msgspec.MsgspecError as error:
        raise DependencyCorrupt(str(error), dependency=region) from None
    if not applied.ready:
        raise SourceUnavailable("the store is being built up", dependency=region)
    return applied
