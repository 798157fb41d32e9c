"""Streaming counters as read at decision time, from one datastore per home region.

Attempts that begin together are read with one MGET a source and shard, decoded for the whole batch,
and merged over the sources by each aggregate's own operator: totals add, bitmaps OR, newest times
take the maximum. Every shard stands behind a breaker of its own. What a shard that is away would
have known is unavailable, for the entities that live on it, and the share of the regions that did
answer is an input of the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np

from app.features.applier import APPLIED_KEY, Applied
from app.features.counter_store import by_shard
from app.features.guarded import GuardedShard, came
from app.features.merge import Ask, Merge, MergePlan, Reply, Streaming
from app.features.shard import Packed, ShardClient, packed
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

__all__ = [
    "OnlineStore",
    "Reading",
    "Reply",
    "Source",
    "Streaming",
    "ValuesRead",
    "Wanted",
    "replied",
]


class _Part(NamedTuple):
    """What one shard is asked for: which of the counters, and the command."""

    places: Sequence[int]
    command: Packed


class Wanted:
    """Counters that every source is asked for; each command is made once for all of them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._parts: dict[int, list[_Part]] = {}  # by number of shards

    def parts(self, shards: int) -> list[_Part]:
        """What each of so many shards is asked for."""
        found = self._parts.get(shards)
        if found is None:
            place = {name: at for at, name in enumerate(self.names)} if shards > 1 else {}
            found = [
                _Part(
                    [place[name] for name in of_shard] if place else range(len(of_shard)),
                    packed(("MGET", APPLIED_KEY, *of_shard)),
                )
                for of_shard in by_shard(self.names, shards)
            ]
            self._parts[shards] = found
        return found


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
        both = list(zip(shards, breakers, strict=True))
        self._counters = [GuardedShard(*one, judge=self._judged) for one in both]
        self._others = [GuardedShard(*one) for one in both]
        self._known: tuple[bytes | None, Applied | RungError] = (None, _cold(region))

    def ask(self, wanted: Wanted) -> SourceRead:
        """Ask for counters; what is asked in this turn leaves together, or with `flush`."""
        parts = wanted.parts(len(self._counters))
        return SourceRead(
            self,
            len(wanted.names),
            [part.places for part in parts],
            [
                shard.submit_packed(part.command)
                for shard, part in zip(self._counters, parts, strict=True)
            ],
        )

    async def fetch(self, names: Sequence[str]) -> Reply:
        """Ask for counters and wait for them."""
        asked = self.ask(Wanted(names))
        await replied(asked.replies)
        return asked.reply()

    def ask_values(self, names: Sequence[str]) -> ValuesRead:
        """Ask for keys that are no counters, so that nothing has to be applied."""
        shards = zip(self._others, by_shard(names, len(self._others)), strict=True)
        asked = [(shard, part) for shard, part in shards if part]
        return ValuesRead(
            [part for _, part in asked],
            [shard.submit("MGET", *part) for shard, part in asked],
        )

    def flush(self) -> None:
        """Send what was asked at once."""
        for shard in self.shards:
            shard.flush()

    def applied(self, raw: bytes | None) -> Applied | RungError:
        """What a shard's marker says, or why its counters cannot be used."""
        known, said = self._known  # of a store of one shard it changes with each transaction only
        if raw != known or raw is None:
            said = _applied(raw, self.region)
            self._known = raw, said
        return said

    async def close(self) -> None:
        """Close the connections."""
        for shard in self.shards:
            await shard.close()

    def _judged(self, reply: Sequence[bytes | None]) -> RungError | None:
        said = self.applied(reply[0])
        return said if isinstance(said, RungError) else None


class SourceRead:
    """Counters that one source was asked for.

    Attributes:
        replies: futures of its shards; all of them are there before `reply`.
    """

    __slots__ = ("_places", "_source", "_wanted", "replies")

    def __init__(
        self,
        source: Source,
        wanted: int,
        places: Sequence[Sequence[int]],
        replies: Sequence[asyncio.Future[Any]],
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._places = places
        self.replies = replies

    def reply(self) -> Reply:
        """What came. What a shard cannot give is left out, with the reason."""
        values: list[bytes | None] = [None] * self._wanted
        shards: list[Applied | RungError] = []
        for places, reply in zip(self._places, self.replies, strict=True):
            if not came(reply):
                shards.append(cast("RungError", reply.exception()))
                continue
            marker, *found = reply.result()
            said = self._source.applied(marker)
            shards.append(said)
            if isinstance(said, RungError):
                continue
            if len(found) == self._wanted:  # all of them, in their order
                values = found
                continue
            for at, value in zip(places, found, strict=True):
                values[at] = value
        return Reply(self._source.region, values, tuple(shards))


class ValuesRead:
    """Keys that one source was asked for, which are no counters.

    Attributes:
        replies: futures of its shards.
    """

    __slots__ = ("_parts", "replies")

    def __init__(
        self, parts: Sequence[Sequence[str]], replies: Sequence[asyncio.Future[Any]]
    ) -> None:
        self._parts = parts
        self.replies = replies

    def values(self) -> dict[str, bytes]:
        """Value by key of those that are there; none of a shard that has not answered by now."""
        return {
            name: value
            for names, reply in zip(self._parts, self.replies, strict=True)
            if came(reply)
            for name, value in zip(names, reply.result(), strict=True)
            if value is not None
        }


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
        self.plan = MergePlan(features)
        self.now_ms = now_ms
        self._age_max_ms = age_max_ms
        self._needed_ms = needed_ms

    def begin(self, asks: Sequence[Ask], deadline: Deadline) -> Reading:
        """Ask every source for what attempts need, at once.

        Args:
            asks: what each attempt asks for, at least one.
            deadline: the earliest of the attempts'.

        Raises:
            DeadlineNear: too little time is left to ask.
        """
        if not deadline.allows(self._needed_ms):
            raise DeadlineNear("no time left to read the counters")
        return Reading(self, asks)

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
        reading = self.begin([Ask(tenant, ids, amount, as_of_ms)], deadline)
        (found,) = await reading.finish()
        if isinstance(found, Exception):
            raise found
        return found

    async def close(self) -> None:
        """Close every source."""
        for source in self.sources:
            await source.close()

    def fresh(self, reply: Reply, read_ms: int) -> Reply:
        """A reply without its stale shards."""
        if all(
            isinstance(own, RungError) or read_ms - own.as_of_ms <= self._age_max_ms
            for own in reply.shards
        ):
            return reply
        return msgspec.structs.replace(
            reply,
            shards=tuple(
                FeaturesStale(f"counters are {age} ms old", dependency=reply.region)
                if isinstance(own, Applied) and (age := read_ms - own.as_of_ms) > self._age_max_ms
                else own
                for own in reply.shards
            ),
        )


class Reading:
    """A read of all sources that is under way."""

    __slots__ = ("_asks", "_merge", "_reads", "_store")

    def __init__(self, store: OnlineStore, asks: Sequence[Ask]) -> None:
        self._store = store
        self._asks = asks
        self._merge = Merge(store.plan, asks)
        wanted = Wanted(self._merge.names())
        self._reads = [source.ask(wanted) for source in store.sources]
        for source in store.sources:
            source.flush()

    async def finish(self) -> list[Streaming | Exception]:
        """Wait for the replies: what each attempt gets, or why there is nothing that it needs."""
        await replied(reply for read in self._reads for reply in read.replies)
        read_ms = self._store.now_ms()
        asked_ms = [ask.as_of_ms for ask in self._asks]
        as_of_ms = np.array([read_ms if one is None else one for one in asked_ms])
        for read in self._reads:
            self._merge.add(self._store.fresh(read.reply(), read_ms))
        return self._merge.results(as_of_ms, read_ms=read_ms)


async def replied(replies: Iterable[asyncio.Future[Any]]) -> None:
    """Wait until all are there, or failed."""
    await asyncio.gather(*replies, return_exceptions=True)


def _cold(region: str) -> RungError:
    return SourceUnavailable("the store is cold", dependency=region)


def _applied(raw: bytes | None, region: str) -> Applied | RungError:
    if raw is None:
        return _cold(region)
    try:
        applied = msgspec.msgpack.decode(raw, type=Applied)
    except msgspec.MsgspecError as error:
        return DependencyCorrupt(str(error), dependency=region)
    if not applied.ready:
        return SourceUnavailable("the store is being built up", dependency=region)
    return applied
