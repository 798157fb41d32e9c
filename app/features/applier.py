"""The applier: the single writer of a region's counters.

It takes events from the stream in batches, reads the touched values with one MGET a shard, folds
the events in with numpy, and writes values and positions in one transaction:

    WATCH !applied;  MGET !applied values;  MULTI;  PSETEX values;  SET !applied;  EXEC

so counters and positions change, and replicate, as one, and a second writer is fenced off. The
positions in the store are the only truth of what was applied: on every (re)connect they are read
again and the stream is rewound to them, so that a crash, a re-delivery or a store that lost its
last writes is healed by replay, and no event counts twice.
"""

from __future__ import annotations

import logging
import secrets
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from types import FrameType
from typing import cast

import msgspec
import numpy as np
import redis
import xxhash
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.features.packed import Unreadable, key, layout_of
from app.features.spec import STREAMING_ENTITIES, Aggregate, Counter, Entity, horizon_ms
from app.record.decision import CounterEvent, decode_counter_event
from app.record.frames import Kind, Record
from app.settings import ScorerSettings, Shard, load
from app.streams.interface import EventStream, Positions
from app.streams.journal_tail import JournalTail

__all__ = ["APPLIED_KEY", "Applied", "Applier", "shard_of"]

APPLIED_KEY = "!applied"
BATCH_EVENTS_MAX = 512
HEARTBEAT_S = 0.25
RECONNECT_S = 0.2

log = logging.getLogger(__name__)


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard's store says of itself, under one key, changed with every batch.

    Attributes:
        generation: of the store; a store that lost its marker is cold, not empty.
        ready: false while the counters are being built up.
        as_of_ms: what the journal held by then is counted, ms since the epoch. Moves on with
            every heartbeat, unless there is a backlog: then it is the age of what is applied.
        positions: last (epoch, seq) applied of each journal writer, by "region/writer".
    """

    generation: str
    ready: bool
    as_of_ms: int
    positions: dict[str, tuple[int, int]]


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
        self, client: redis.Redis, stream: EventStream, *, shard: int, shards: int
    ) -> None:
        self.dropped_late = 0
        self.unreadable = 0
        self._client = client
        self._stream = stream
        self._shard, self._shards = shard, shards
        self._applied = _new_generation()
        self._stored: bytes | None = None  # what the store holds under APPLIED_KEY, as last known
        self._written_s = 0.0

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
        self._stream.rewind(self._applied.positions)

    def step(self) -> int:
        """Apply one batch, or beat the heart when there is none. Returns the events taken."""
        now_ms = time.time_ns() // 1_000_000  # before the read, which so misses nothing of then
        batch = self._stream.read(BATCH_EVENTS_MAX)
        drained = len(batch) < BATCH_EVENTS_MAX
        ready = self._applied.ready or drained
        due = time.monotonic() - self._written_s >= HEARTBEAT_S
        if batch or ready != self._applied.ready or due:
            fresh, positions = _not_yet_applied(batch, self._applied.positions)
            applied = Applied(
                generation=self._applied.generation,
                ready=ready,
                as_of_ms=now_ms if drained else min(record.written_ms for record in batch),
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
) -> tuple[list[Record], dict[str, tuple[int, int]]]:
    """The events that a stream, which may deliver twice, brings for the first time.

    Returns:
        Those events, and the positions behind them.
    """
    positions = dict(applied)
    fresh = []
    for record in batch:
        name = f"{record.id.region}/{record.id.writer}"
        if (position := (record.id.epoch, record.id.seq)) > positions.get(name, (0, 0)):
            positions[name] = position
            fresh.append(record)
    return fresh, positions


def connect(shard: Shard, password: str | None) -> redis.Redis:
    """A client for background use: bounded waits, no hidden retries."""
    return redis.Redis(
        host=shard.host,
        port=shard.port,
        password=password,
        protocol=2,
        socket_timeout=2.0,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
        client_name="stepdown-applier",
    )


def run(settings: ScorerSettings) -> None:
    """Apply until told to stop; a store that is away is waited for."""
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    shards = settings.store_shards()
    appliers = [
        Applier(
            connect(shard, settings.datastore_password()),
            JournalTail(settings.journal),
            shard=number,
            shards=len(shards),
        )
        for number, shard in enumerate(shards)
    ]
    connected = [False] * len(appliers)
    while not stopping:
        taken = 0
        for number, applier in enumerate(appliers):
            try:
                if not connected[number]:
                    applier.connect()
                    connected[number] = True
                    log.info("shard %d: connected", number)
                taken += applier.step()
            except redis.RedisError as error:
                if connected[number]:
                    log.warning("shard %d: %s; reading positions again", number, error)
                connected[number] = False
                time.sleep(RECONNECT_S)
        if taken < BATCH_EVENTS_MAX:
            time.sleep(settings.linger_ms / 1_000)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(load())
