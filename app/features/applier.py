"""The applier: the single writer of a region's counters.

It takes events from the stream in batches, reads the touched values with one MGET a shard, folds
the events in with numpy, and writes values and positions in one transaction:

    WATCH !applied;  MGET !applied values;  MULTI;  PSETEX values;  SET !applied;  EXEC

so counters and positions change, and replicate, as one, and a second writer is fenced off. The
positions in the store are the only truth of what was applied: on every (re)connect they are read
again and the stream is rewound to them, so that a crash, a re-delivery or a store that lost its
last writes is healed by replay, and no event counts twice.

How fresh the counters are, the applier does not judge by a stream that has no more to read: it
takes the word of the heartbeats on it (see `app.streams.heartbeat`).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import cast

import msgspec
import numpy as np
import redis
import xxhash

from app.features.packed import Unreadable, key, layout_of
from app.features.spec import STREAMING_ENTITIES, Aggregate, Counter, Entity, horizon_ms
from app.record.decision import CounterEvent, decode_counter_event
from app.record.frames import Kind, Record
from app.streams.connection import connect
from app.streams.heartbeat import Freshness
from app.streams.interface import (
    START,
    EventStream,
    Position,
    Positions,
    position_of,
    writer_of,
)

__all__ = ["APPLIED_KEY", "Applied", "Applier", "connect", "shard_of"]

APPLIED_KEY = "!applied"
BATCH_EVENTS_MAX = 512
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


def shard_of(key: str, shards: int) -> int:
    """Which shard a key lives on."""
    return xxhash.xxh64_intdigest(key.encode()) % shards if shards > 1 else 0


class Applier:
    """Applies one stream to one shard.

    Attributes:
        dropped_late: events that were older than every window.
        unreadable: payloads passed over and values begun anew because they could not be read.
    """

    def __init__(
        self,
        client: redis.Redis,
        stream: EventStream,
        *,
        shard: int,
        shards: int,
        heartbeats: bool = False,
    ) -> None:
        """Make the applier; `connect` comes first.

        Args:
            client: of the shard's server.
            stream: of the region's events.
            shard: number of the shard.
            shards: how many the store has.
            heartbeats: whether heartbeats on the stream tell how fresh it is. Without, reading it
                to its end has to mean that there is no more: true of the journals alone.
        """
        self.dropped_late = 0
        self.unreadable = 0
        self._client = client
        self._stream = stream
        self._shard, self._shards = shard, shards
        self._heartbeats = heartbeats
        self._applied = _new_generation()
        self._freshness = Freshness(0)
        self._stored: bytes | None = None  # what the store holds under APPLIED_KEY, as last known
        self._written_s = 0.0

    @property
    def as_of_ms(self) -> int:
        """Everything journaled by then is counted, ms since the epoch; 0 if nothing is known."""
        return self._applied.as_of_ms

    def connect(self) -> None:
        """Read what the store has applied, and rewind the stream to it.

        To be called first, and again after an error: it may have come after the write.
        """
        self._stored = cast("bytes | None", self._client.get(APPLIED_KEY))
        if self._stored is None:
            self._applied = _new_generation()
            log.info("the store is cold: building generation %s", self._applied.generation)
            self._clear()
        else:
            self._applied = msgspec.msgpack.decode(self._stored, type=Applied)
        self._freshness = Freshness(self._applied.as_of_ms)
        self._stream.rewind(self._applied.positions)

    def step(self) -> int:
        """Apply one batch, or beat the heart when there is none. Returns the events taken."""
        now_ms = _now_ms()  # before the read, which so misses nothing of then
        batch = self._stream.read(BATCH_EVENTS_MAX)
        drained = len(batch) < BATCH_EVENTS_MAX
        fresh, positions = _not_yet_applied(batch, self._applied.positions)
        if self._heartbeats:
            as_of_ms = self._freshness.after(batch, positions)
        else:
            as_of_ms = now_ms if drained else min(record.written_ms for record in batch)
        ready = self._applied.ready or (drained and as_of_ms > 0)
        due = time.monotonic() - self._written_s >= HEARTBEAT_S
        if batch or ready != self._applied.ready or due:
            applied = Applied(
                generation=self._applied.generation,
                ready=ready,
                as_of_ms=as_of_ms,
                positions=positions,
            )
            self._write(fresh, applied)
        return len(batch)

    def _write(self, batch: Sequence[Record], applied: Applied) -> None:
        touched = self._touched(batch)
        marker = msgspec.msgpack.encode(applied)
        names = [name for events_of in touched.values() for name in events_of]
        with self._transaction(names) as (pipe, found):
            values = iter(found)
            for entity, events_of in touched.items():
                updated = self._updated(entity, events_of, list(islice(values, len(events_of))))
                expiry_ms = 2 * horizon_ms(entity)
                for name, value in zip(events_of, updated, strict=True):
                    pipe.psetex(name, expiry_ms, value)
            pipe.set(APPLIED_KEY, marker)
        self._applied, self._stored, self._written_s = applied, marker, time.monotonic()

    @contextmanager
    def _transaction(
        self, names: Sequence[str]
    ) -> Iterator[tuple[redis.client.Pipeline, list[bytes | None]]]:
        """Read values, then queue writes that happen as one, if no one else wrote meanwhile.

        Raises:
            redis.WatchError: another writer was here, or the store went back or lost everything.
        """
        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(APPLIED_KEY)  # type: ignore[no-untyped-call]
            stored, *found = cast("list[bytes | None]", pipe.mget([APPLIED_KEY, *names]))
            if stored != self._stored:
                raise redis.WatchError("the store's positions are not those this applier wrote")
            pipe.multi()
            yield pipe, found
            pipe.execute()

    def _clear(self) -> None:
        """Delete what a lost marker left behind: the replay would count it twice."""
        for entity in STREAMING_ENTITIES:
            left: Iterator[bytes] = self._client.scan_iter(match=f"*:{entity}:*", count=1_000)
            while names := list(islice(left, 1_000)):
                with self._transaction([]) as (pipe, _):
                    pipe.unlink(*names)

    def _touched(self, batch: Sequence[Record]) -> dict[Entity, dict[str, list[CounterEvent]]]:
        """Events of this shard, by entity and key."""
        touched: dict[Entity, dict[str, list[CounterEvent]]] = {}
        for record in batch:
            if record.kind is not Kind.DECISION:
                continue
            try:
                event = decode_counter_event(record.payload)
            except msgspec.MsgspecError:  # it would come again for ever
                self.unreadable += 1
                log.exception("%s is passed over", record.id)
                continue
            for entity in STREAMING_ENTITIES:
                if (id := event.entities.get(entity)) is None:
                    continue
                name = key(event.tenant, entity, id)
                if shard_of(name, self._shards) == self._shard:
                    touched.setdefault(entity, {}).setdefault(name, []).append(event)
        return touched

    def _updated(
        self,
        entity: Entity,
        events_of: Mapping[str, Sequence[CounterEvent]],
        found: Sequence[bytes | None],
    ) -> list[bytes]:
        """The values of the keys, in order, with their events folded in."""
        layout = layout_of(entity)
        records = layout.blank(len(events_of))
        for row, (name, raw) in enumerate(zip(events_of, found, strict=True)):
            if raw is None:
                continue
            try:
                records[row] = layout.decode([raw])[0]
            except Unreadable:
                self.unreadable += 1
                log.exception("%s starts anew", name)
        events = [event for of_key in events_of.values() for event in of_key]
        self.dropped_late += layout.apply(
            records,
            np.repeat(np.arange(len(records)), [len(of_key) for of_key in events_of.values()]),
            np.array([event.received_ms for event in events]),
            [_amounts(counter, events) for counter in (*layout.additive, *layout.distinct)],
        )
        return layout.encode(records)


def _new_generation() -> Applied:
    return Applied(generation=secrets.token_hex(8), ready=False, as_of_ms=0, positions={})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _amounts(
    counter: Counter, events: Sequence[CounterEvent]
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """What each event adds to a counter, shape (events,)."""
    match counter.aggregate:
        case Aggregate.COUNT:
            return np.ones(len(events), dtype=np.uint64)
        case Aggregate.SUM:
            return np.array([event.amount_ref for event in events], dtype=np.uint64)
        case Aggregate.DISTINCT:
            return np.array([event.bits.get(counter.of, 0) for event in events], dtype=np.uint64)


def _not_yet_applied(
    batch: Sequence[Record], applied: Positions
) -> tuple[list[Record], dict[str, Position]]:
    """The events that a stream, which may deliver twice, brings for the first time.

    Returns:
        Those events, and the positions behind them.
    """
    positions = dict(applied)
    fresh = []
    for record in batch:
        name, position = writer_of(record.id), position_of(record.id)
        if position > positions.get(name, START):
            positions[name] = position
            fresh.append(record)
    return fresh, positions
