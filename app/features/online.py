"""Streaming counters as read at decision time, from one datastore per home region.

All attempts that wait in the same loop turn are read with one MGET a source and shard, decoded
with numpy for the whole batch, and merged over the sources by each aggregate's own operator:
totals add, bitmaps OR, newest times take the maximum. Every shard stands behind a breaker of its
own. What a shard that is away would have known is unavailable, for the entities that live on it,
and the share of the regions that did answer is an input of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import numpy as np

from app.coalesce import Coalescer, together
from app.features.applier import APPLIED_KEY, Applied, shard_of
from app.features.merge import Ask, Merge, MergePlan, Reply, Streaming
from app.features.shard import ShardClient
from app.features.spec import Entity, FeatureSet
from fallback.breaker import Breaker
from fallback.deadline import Deadline
from fallback.errors import (
    DeadlineNear,
    DependencyCorrupt,
    FeaturesStale,
    RungError,
    SourceUnavailable,
)

__all__ = ["OnlineStore", "Reply", "Source", "Streaming"]

BATCH_MAX = 128


class Source:
    """One home region's datastore, each shard behind its breaker."""

    def __init__(
        self, region: str, shards: Sequence[ShardClient], *, breakers: Sequence[Breaker]
    ) -> None:
        """Make the source.

        Args:
            region: whose counters these are.
            shards: clients, in the order of the shards.
            breakers: of the shards.
        """
        self.region = region
        self.shards = tuple(shards)
        self.breakers = tuple(breakers)
        self._shards = tuple(zip(shards, breakers, strict=True))

    async def fetch(self, names: Sequence[str]) -> Reply:
        """Read keys. What a shard cannot give is left out, with the reason."""
        by_shard: list[Sequence[str]] = [names]
        if len(self._shards) > 1:
            parts: list[list[str]] = [[] for _ in self._shards]
            for name in names:
                parts[shard_of(name, len(parts))].append(name)
            by_shard = [*parts]
        replies = await together([self._read(at, part) for at, part in enumerate(by_shard)])
        values = {
            name: value
            for part, (_, found) in zip(by_shard, replies, strict=True)
            for name, value in zip(part, found, strict=False)
            if value is not None
        }
        return Reply(self.region, values, tuple(own for own, _ in replies))

    async def values(self, names: Sequence[str]) -> dict[str, bytes]:
        """Read keys that are no counters, so that nothing has to be applied. Never fails.

        Returns:
            Value by key, of those that are there; none of a shard that is away.
        """
        by_shard: dict[int, list[str]] = {}
        for name in names:
            by_shard.setdefault(shard_of(name, len(self._shards)), []).append(name)
        parts = await together([self._values(at, part) for at, part in by_shard.items()])
        return {name: value for part in parts for name, value in part.items()}

    async def close(self) -> None:
        """Close the connections."""
        for shard, _ in self._shards:
            await shard.close()

    async def _read(
        self, at: int, names: Sequence[str]
    ) -> tuple[Applied | RungError, Sequence[bytes | None]]:
        shard, breaker = self._shards[at]
        try:
            with breaker.call():
                reply = await shard.submit("MGET", APPLIED_KEY, *names)
                return _applied(reply[0], self.region), reply[1:]
        except RungError as error:
            return error, ()

    async def _values(self, at: int, names: Sequence[str]) -> dict[str, bytes]:
        try:
            shard, breaker = self._shards[at]
            with breaker.call():
                found = await shard.submit("MGET", *names)
        except RungError:
            return {}
        return {name: value for name, value in zip(names, found, strict=True) if value is not None}


class OnlineStore:
    """All sources, read together."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        features: FeatureSet,
        now_ms: Callable[[], int],
        age_max_ms: int,
        needed_ms: float = 2.0,
    ) -> None:
        """Make the store.

        Args:
            sources: one per home region, at least one.
            features: what is read.
            now_ms: wall clock, ms since the epoch.
            age_max_ms: counters older than this are stale, and not used.
            needed_ms: with less than this left, the read is not begun.
        """
        self.sources = tuple(sources)
        self._now_ms = now_ms
        self._age_max_ms = age_max_ms
        self._needed_ms = needed_ms
        self._plan = MergePlan(features)
        self._reads: Coalescer[Ask, Streaming] = Coalescer(self._read, batch_max=BATCH_MAX)

    async def read(
        self,
        tenant: str,
        ids: Mapping[Entity, str],
        deadline: Deadline,
        *,
        amount: float,
        as_of_ms: int | None = None,
    ) -> Streaming:
        """Streaming inputs of one attempt.

        Args:
            tenant: whose attempt it is.
            ids: id by entity; an entity that is missing is not mapped.
            deadline: of the attempt.
            amount: reference minor units; NaN where it is not known.
            as_of_ms: the moment to read them as of, ms since the epoch; when they are read by
                default.

        Raises:
            DeadlineNear: too little time is left to ask.
            RungError: nothing that the attempt needs is there: the first reason why.
        """
        if not deadline.allows(self._needed_ms):
            raise DeadlineNear("no time left to read the counters")
        return await self._reads.submit(Ask(tenant, ids, amount, as_of_ms))

    async def close(self) -> None:
        """Close every source."""
        for source in self.sources:
            await source.close()

    async def _read(self, asks: list[Ask]) -> list[Streaming | BaseException]:
        batch = Merge(self._plan, asks)
        names = batch.names()
        replies = await together([source.fetch(names) for source in self.sources])
        read_ms = self._now_ms()
        as_of_ms = np.array([read_ms if ask.as_of_ms is None else ask.as_of_ms for ask in asks])
        for reply in replies:
            batch.add(self._fresh(reply, read_ms))
        return batch.results(as_of_ms, read_ms=read_ms)

    def _fresh(self, reply: Reply, read_ms: int) -> Reply:
        """The reply without its stale shards."""
        return replace(
            reply,
            shards=tuple(
                FeaturesStale(f"counters are {age} ms old", dependency=reply.region)
                if isinstance(own, Applied) and (age := read_ms - own.as_of_ms) > self._age_max_ms
                else own
                for own in reply.shards
            ),
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
