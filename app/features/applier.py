"""The applier: the single writer of a region's counters.

It takes events from the stream in batches, reads the touched values, folds the events in with
numpy, and writes values and positions in one transaction (see `app.features.counter_store`). The
positions in the store are the only truth of what was applied: on every (re)connect they are read
again and the stream is rewound to them, so that a crash, a re-delivery or a store that lost its
last writes is healed by replay, and no event counts twice.

    no marker, or nothing applied under it    cold: cleared, and a new generation built
    a marker, not ready                       being built up; readers pass it by
    a marker, ready                           complete as of `as_of_ms`

How fresh the counters are, the applier does not judge by a stream that has no more to read: it
takes the word of the heartbeats on it (see `app.streams.heartbeat`).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence

import msgspec
import redis

from app.features.blocks import Events
from app.features.counter_store import APPLIED_KEY, CounterStore, Written, shard_of
from app.features.feed import Batch, Feed, Touched
from app.features.packed import Reader, Records, Unreadable, layouts_of
from app.features.spec import Entity, FeatureSet
from app.streams.connection import connect
from app.streams.heartbeat import Freshness
from app.streams.interface import EventStream, Position, Positions

__all__ = ["APPLIED_KEY", "Applied", "Applier", "Rebuild", "connect", "shard_of"]

HEARTBEAT_S = 0.25

log = logging.getLogger(__name__)


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard's store says of itself, under one key, changed with every batch.

    Attributes:
        generation: of the store; a store that lost its marker is cold, not empty.
        ready: false while the counters are being built up.
        as_of_ms: everything journaled by then is counted, ms since the epoch; 0 if nothing is
            known. It stands still while events do not arrive, whatever keeps them.
        positions: last (epoch, seq) applied of each journal writer, by "region/writer".
    """

    generation: str
    ready: bool
    as_of_ms: int
    positions: dict[str, Position]


# Fills a cleared store from history, for what the stream no longer has; the positions it reached.
# While it runs another applier may begin another generation: it writes under WATCH of the marker.
Rebuild = Callable[[redis.Redis, Applied], Positions]


class Applier:
    """Applies events to one shard.

    Attributes:
        dropped_late: changes of values by events that were older than every window.
        unreadable: values begun anew because they could not be read.
    """

    def __init__(
        self,
        connect: Callable[[], redis.Redis],
        stream: EventStream,
        *,
        features: FeatureSet,
        now_ms: Callable[[], int],
        shard: int = 0,
        shards: int = 1,
        heartbeats: bool = False,
        rebuild: Rebuild | None = None,
    ) -> None:
        """Make the applier; `connect` comes first.

        Args:
            connect: makes a client of the shard's primary, wherever that is by now.
            stream: of the region's events, the applier's own.
            features: what is counted.
            now_ms: wall clock, ms since the epoch.
            shard: number of the shard.
            shards: how many the store has.
            heartbeats: whether heartbeats on the stream tell how fresh it is. Without, reading it
                to its end has to mean that there is no more: true of the journals alone.
            rebuild: called with a client and the new generation's marker when the store is cold,
                before the stream is rewound. What it leaves half done is cleared and done again.
        """
        self.feed = Feed(stream, features=features, shards=shards, now_ms=now_ms)
        self.dropped_late = 0
        self.unreadable = 0
        self._connect = connect
        self._features = features
        self._readers = layouts_of(features)
        self._shard = shard
        self._heartbeats = heartbeats
        self._rebuild = rebuild
        self._applied = _new_generation()
        self._freshness = Freshness(0)
        self._store: CounterStore | None = None
        self._written_s = 0.0

    @property
    def applied(self) -> Applied:
        """What the store says of itself, as last read or written."""
        return self._applied

    def connect(self) -> None:
        """Read what the store has applied, and rewind the stream to it.

        To be called first, and again after an error: it may have come after the write.

        Raises:
            redis.RedisError: the store is away, or someone else writes it.
            StreamError: the stream is.
        """
        self.close()
        self._store = store = CounterStore(self._connect())
        known = _read(store.marker)
        if known is None or not (known.ready or known.positions):
            known = self._built(store)
        self._applied = known
        self._freshness = Freshness(known.as_of_ms)
        self.feed.rewind(known.positions)

    def close(self) -> None:
        """Let go of the store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def step(self) -> int:
        """Apply one batch, or beat the heart when there is none. Returns the events taken."""
        batch = self.feed.next()
        self.apply(batch)
        return len(batch.records)

    def apply(self, batch: Batch) -> None:
        """Apply what is new of a batch, be it of another feed of the same events.

        Raises:
            redis.RedisError: the store is away, or someone else writes it.
        """
        fresh, positions = batch.behind(self._applied.positions)
        if self._heartbeats:
            as_of_ms = self._freshness.after(batch.records, positions)
        elif batch.drained:
            as_of_ms = batch.read_ms
        else:
            as_of_ms = min(record.written_ms for record in batch.records)
        ready = self._applied.ready or (batch.drained and as_of_ms > 0)
        due = time.monotonic() - self._written_s >= HEARTBEAT_S
        if not (batch.records or ready != self._applied.ready or due):
            return
        applied = Applied(
            generation=self._applied.generation,
            ready=ready,
            as_of_ms=as_of_ms,
            positions=positions,
        )
        touched = {
            entity: mine
            for entity, all_shards in batch.touched.items()
            if (mine := all_shards.part(self._shard, fresh)).names
        }
        self._write(touched, batch.events, applied)

    def _built(self, store: CounterStore) -> Applied:
        """Begin a new generation: what a lost marker left behind would be counted twice."""
        applied = _new_generation()
        log.info("the store is cold: building generation %s", applied.generation)
        store.read(())
        store.write((), msgspec.msgpack.encode(applied))
        store.clear(self._features.entities)
        if self._rebuild is None:
            return applied
        positions = dict(self._rebuild(store.client, applied))
        built = msgspec.structs.replace(applied, positions=positions)
        store.read(())
        store.write((), msgspec.msgpack.encode(built))
        return built

    def _write(self, touched: dict[Entity, Touched], events: Events, applied: Applied) -> None:
        assert self._store is not None, "connect comes first"
        found = self._store.read([name for mine in touched.values() for name in mine.names])
        written, at = [], 0
        for entity, mine in touched.items():
            raw = found[at : at + len(mine.names)]
            at += len(raw)
            values = self._updated(entity, mine, raw, events)
            written.append(Written(mine.names, values, 2 * self._features.horizon_ms(entity)))
        self._store.write(written, msgspec.msgpack.encode(applied))
        self._applied, self._written_s = applied, time.monotonic()

    def _updated(
        self, entity: Entity, touched: Touched, found: Sequence[bytes | None], events: Events
    ) -> list[bytes]:
        """The values of the keys, in order, with their events folded in."""
        reader = self._readers[entity]
        records = reader.layout.blank(len(found))
        there = [row for row, raw in enumerate(found) if raw is not None]
        values = [raw for raw in found if raw is not None]
        try:
            records[there] = reader.decode(values)
        except Unreadable:
            for row, raw in zip(there, values, strict=True):
                self._decode_one(reader, records, row, raw)
        self.dropped_late += reader.layout.apply(records, touched.row, events.take(touched.event))
        return reader.layout.encode(records)

    def _decode_one(self, reader: Reader, records: Records, row: int, raw: bytes) -> None:
        try:
            records[row] = reader.decode([raw])[0]
        except Unreadable as error:
            self.unreadable += 1
            log.warning("a value of %s starts anew: %s", reader.layout.entity, error)


def _read(marker: bytes | None) -> Applied | None:
    try:
        return None if marker is None else msgspec.msgpack.decode(marker, type=Applied)
    except msgspec.MsgspecError:  # what was applied is not known, which is as bad as nothing
        log.exception("the store's marker cannot be read")
        return None


def _new_generation() -> Applied:
    return Applied(generation=secrets.token_hex(8), ready=False, as_of_ms=0, positions={})
