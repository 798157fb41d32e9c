"""Streaming counters as read at decision time, from one datastore per home region.

All attempts that wait in the same loop turn are read with one MGET a source and shard, decoded
with numpy for the whole batch, and merged over the sources by each aggregate's own operator:
totals add, bitmaps OR. Every source stands behind a breaker of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np
import numpy.typing as npt
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.coalesce import Coalescer
from app.features.applier import APPLIED_KEY, Applied, shard_of
from app.features.packed import Unreadable, Windows, key, layout_of
from app.features.rings import Float64s, UInt64s
from app.features.spec import (
    STREAMING,
    STREAMING_ENTITIES,
    Aggregate,
    Entity,
    InputState,
    horizon_ms,
)
from app.settings import Shard
from fallback.breaker import Breaker
from fallback.deadline import Deadline
from fallback.errors import (
    BulkheadFull,
    DeadlineNear,
    DependencyCorrupt,
    DependencyTimeout,
    DependencyUnavailable,
    FeaturesStale,
    RungError,
    SourceUnavailable,
)

__all__ = ["OnlineStore", "Source", "Streaming", "client"]

BATCH_MAX = 128
CONNECTIONS_MAX = 16

Positions = dict[str, tuple[int, int]]

NOT_MAPPED: bytes = InputState.NOT_MAPPED.value
NEVER_SEEN: bytes = InputState.NEVER_SEEN.value
PRESENT: bytes = InputState.PRESENT.value


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

    values: Mapping[str, bytes]
    applied: Sequence[Applied]


class Source:
    """One home region's datastore, behind its breaker."""

    def __init__(
        self, region: str, shards: Sequence[redis.asyncio.Redis], *, breaker: Breaker
    ) -> None:
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
            replies = await asyncio.gather(
                *(
                    self._mget(shard, part)
                    for shard, part in zip(self._shards, by_shard, strict=True)
                )
            )
        values: dict[str, bytes] = {}
        applied = []
        for part, (own, *found) in zip(by_shard, replies, strict=True):
            applied.append(_applied(own, self.region))
            values.update(
                (name, value) for name, value in zip(part, found, strict=True) if value is not None
            )
        return _Reply(values, applied)

    async def close(self) -> None:
        """Close the connections."""
        for shard in self._shards:
            await shard.aclose()

    async def _mget(self, shard: redis.asyncio.Redis, names: Sequence[str]) -> list[bytes | None]:
        try:
            reply = await shard.mget(APPLIED_KEY, *names)
        except redis.exceptions.MaxConnectionsError as error:
            raise BulkheadFull(str(error), dependency=self.region) from None
        except redis.exceptions.TimeoutError as error:
            raise DependencyTimeout(str(error), dependency=self.region) from None
        except (redis.exceptions.RedisError, OSError) as error:
            raise DependencyUnavailable(str(error), dependency=self.region) from None
        return cast("list[bytes | None]", reply)


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
            sources: one per home region.
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
            RungError: no source can be used; the first one's reason.
        """
        if not deadline.allows(self._needed_ms):
            raise DeadlineNear("no time left to read the counters")
        return await self._reads.submit(_Ask(tenant, ids))

    async def close(self) -> None:
        """Close every source."""
        for source in self.sources:
            await source.close()

    async def _read(self, asks: list[_Ask]) -> list[Streaming | BaseException]:
        names = list(
            dict.fromkeys(
                key(ask.tenant, entity, ask.ids[entity])
                for ask in asks
                for entity in STREAMING_ENTITIES
                if entity in ask.ids
            )
        )
        replies = await asyncio.gather(
            *(source.fetch(names) for source in self.sources), return_exceptions=True
        )
        as_of_ms = self._now_ms()
        usable: dict[str, _Reply] = {}
        refusals: list[BaseException] = []
        for source, reply in zip(self.sources, replies, strict=True):
            if isinstance(reply, RungError):
                refusals.append(reply)
            elif isinstance(reply, BaseException):
                raise reply
            else:
                usable[source.region] = reply
        age_ms = max(
            (as_of_ms - own.as_of_ms for reply in usable.values() for own in reply.applied),
            default=0,
        )
        # Trained on one source; copies with sources masked come with the second one.
        if refusals or not usable:
            raise refusals[0] if refusals else SourceUnavailable("no source is configured")
        if age_ms > self._age_max_ms:
            raise FeaturesStale(f"the counters are {age_ms} ms old")
        merged = _Merged(asks, as_of_ms)
        for reply in usable.values():
            merged.add(reply)
        positions = {
            region: {name: at for own in reply.applied for name, at in own.positions.items()}
            for region, reply in usable.items()
        }
        return merged.results(max(age_ms, 0), positions)


class _Merged:
    """Counters of a batch of attempts, source by source."""

    def __init__(self, asks: Sequence[_Ask], as_of_ms: int) -> None:
        self._asks = asks
        self._as_of_ms = as_of_ms
        rows = len(asks)
        self._totals = np.zeros((rows, len(STREAMING)))
        self._bitmaps = np.zeros((rows, len(STREAMING)), dtype=np.uint64)
        self._live = np.zeros((rows, len(STREAMING_ENTITIES)), dtype=bool)
        self._corrupt: dict[int, Unreadable] = {}

    def add(self, reply: _Reply) -> None:
        """Merge one source's values in."""
        for at, entity in enumerate(STREAMING_ENTITIES):
            rows, raws = [], []
            for row, ask in enumerate(self._asks):
                id = ask.ids.get(entity)
                if id is None:
                    continue
                raw = reply.values.get(key(ask.tenant, entity, id))
                if raw is not None:
                    rows.append(row)
                    raws.append(raw)
            if rows:
                self._add_entity(at, entity, rows, raws)

    def _add_entity(
        self, at: int, entity: Entity, rows: Sequence[int], raws: Sequence[bytes]
    ) -> None:
        layout = layout_of(entity)
        try:
            records = layout.decode(raws)
        except Unreadable as error:
            if len(rows) == 1:
                self._corrupt[rows[0]] = error
                return
            for row, raw in zip(rows, raws, strict=True):  # find the one that spoils the batch
                self._add_entity(at, entity, [row], [raw])
            return
        now = np.full(len(rows), self._as_of_ms)
        windows: Windows = layout.windows(records, now)
        live = windows.base_ms >= self._as_of_ms - horizon_ms(entity)
        index = np.array(rows)[live]
        self._live[index, at] = True
        for column, counter in enumerate(layout.additive):
            self._totals[index, STREAMING.index(counter)] += windows.totals[live, column]
        for column, counter in enumerate(layout.distinct):
            self._bitmaps[index, STREAMING.index(counter)] |= windows.bitmaps[live, column]

    def results(
        self, age_ms: int, positions: Mapping[str, Positions]
    ) -> list[Streaming | BaseException]:
        """What each attempt gets."""
        values = merged_values(self._totals, self._bitmaps)
        found: list[Streaming | BaseException] = []
        for row, ask in enumerate(self._asks):
            if row in self._corrupt:
                found.append(DependencyCorrupt(str(self._corrupt[row])))
                continue
            states = tuple(
                _state(entity in ask.ids, bool(self._live[row, at]))
                for at, entity in enumerate(STREAMING_ENTITIES)
            )
            mine = values[row]
            mine[[counter.entity not in ask.ids for counter in STREAMING]] = np.nan
            found.append(Streaming(mine, states, self._as_of_ms, age_ms, positions))
        return found


def merged_values(totals: Float64s, bitmaps: UInt64s) -> Float64s:
    """Counter values in the order of `spec.STREAMING`: totals as they are, bitmaps counted."""
    distinct = np.array([counter.aggregate is Aggregate.DISTINCT for counter in STREAMING])
    counted: npt.NDArray[np.uint8] = np.bitwise_count(bitmaps)
    return np.where(distinct, counted, totals)


def client(shard: Shard, *, password: str | None, timeout_ms: int) -> redis.asyncio.Redis:
    """A client for the decision path: short waits, no retries, a bounded number of connections."""
    return redis.asyncio.Redis(
        host=shard.host,
        port=shard.port,
        password=password,
        protocol=2,
        socket_timeout=timeout_ms / 1_000,
        socket_connect_timeout=timeout_ms / 1_000,
        retry=Retry(NoBackoff(), 0),
        max_connections=CONNECTIONS_MAX,
        client_name="stepdown-scorer",
    )


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


def _state(mapped: bool, live: bool) -> bytes:
    if not mapped:
        return NOT_MAPPED
    return PRESENT if live else NEVER_SEEN
