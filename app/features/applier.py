"""The applier: the single writer of a region's counters.

It takes events from the stream in batches, reads the touched values with one MGET a shard, folds
the events in with numpy, and writes values and positions in one transaction:

    WATCH !applied;  MGET values;  MULTI;  SET values;  SET !applied;  EXEC

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
from collections.abc import Sequence
from dataclasses import dataclass
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
from app.streams.interface import EventStream
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
        as_of_ms: when the applier last wrote, ms since the epoch: the freshness heartbeat.
        positions: last (epoch, seq) applied of each journal writer, by "region/writer".
    """

    generation: str
    ready: bool
    as_of_ms: int
    positions: dict[str, tuple[int, int]]


def shard_of(key: str, shards: int) -> int:
    """Which shard a key lives on."""
    return xxhash.xxh64_intdigest(key.encode()) % shards if shards > 1 else 0


@dataclass(frozen=True, slots=True)
class _Touch:
    """One event's effect on one key."""

    key: str
    event: CounterEvent


class Applier:
    """Applies one stream to one shard."""

    def __init__(
        self, client: redis.Redis, stream: EventStream, *, shard: int, shards: int
    ) -> None:
        self._client = client
        self._stream = stream
        self._shard, self._shards = shard, shards
        self._applied: Applied | None = None
        self._written_s = 0.0
        self.dropped_late = 0
        self.unreadable = 0

    def connect(self) -> None:
        """Read what the store has applied, and rewind the stream to it."""
        raw = cast("bytes | None", self._client.get(APPLIED_KEY))
        if raw is None:
            applied = Applied(
                generation=secrets.token_hex(8), ready=False, as_of_ms=0, positions={}
            )
            log.info("the store is cold: building generation %s", applied.generation)
        else:
            applied = msgspec.msgpack.decode(raw, type=Applied)
        self._applied = applied
        self._stream.rewind(applied.positions)

    def step(self) -> int:
        """Apply one batch, or beat the heart when there is none. Returns the events taken."""
        assert self._applied is not None
        batch = self._stream.read(BATCH_EVENTS_MAX)
        fresh = not self._applied.ready and not batch
        if batch or fresh or time.monotonic() - self._written_s >= HEARTBEAT_S:
            self._write(batch, ready=self._applied.ready or fresh)
        return len(batch)

    def _write(self, batch: Sequence[Record], *, ready: bool) -> None:
        assert self._applied is not None
        touched = self._touched(batch)
        applied = Applied(
            generation=self._applied.generation,
            ready=ready,
            as_of_ms=time.time_ns() // 1_000_000,
            positions={**self._applied.positions, **_last_positions(batch)},
        )
        with self._client.pipeline(transaction=True) as pipe:
            pipe.watch(APPLIED_KEY)  # type: ignore[no-untyped-call]
            self._fence(cast("bytes | None", pipe.get(APPLIED_KEY)))
            values = {
                entity: self._updated(pipe, entity, touches) for entity, touches in touched.items()
            }
            pipe.multi()
            for entity, updated in values.items():
                for name, value in updated.items():
                    pipe.set(name, value, px=2 * horizon_ms(entity))
            pipe.set(APPLIED_KEY, msgspec.msgpack.encode(applied))
            pipe.execute()
        self._applied, self._written_s = applied, time.monotonic()

    def _fence(self, raw: bytes | None) -> None:
        """Refuse to write over what another writer, or another past, left in the store."""
        assert self._applied is not None
        stored = None if raw is None else msgspec.msgpack.decode(raw, type=Applied)
        started = bool(self._applied.as_of_ms)
        if (stored is None) == started or (
            stored is not None
            and (stored.generation, stored.positions)
            != (self._applied.generation, self._applied.positions)
        ):
            raise redis.WatchError("the store's positions are not those this applier wrote")

    def _touched(self, batch: Sequence[Record]) -> dict[Entity, list[_Touch]]:
        touched: dict[Entity, list[_Touch]] = {entity: [] for entity in STREAMING_ENTITIES}
        for record in batch:
            if record.kind is not Kind.DECISION:
                continue
            event = decode_counter_event(record.payload)
            for entity in STREAMING_ENTITIES:
                if (id := event.entities.get(entity)) is None:
                    continue
                name = key(event.tenant, entity, id)
                if shard_of(name, self._shards) == self._shard:
                    touched[entity].append(_Touch(name, event))
        return {entity: touches for entity, touches in touched.items() if touches}

    def _updated(
        self, pipe: redis.client.Pipeline, entity: Entity, touches: Sequence[_Touch]
    ) -> dict[str, bytes]:
        layout = layout_of(entity)
        names = list(dict.fromkeys(touch.key for touch in touches))
        row_of = {name: row for row, name in enumerate(names)}
        records = layout.blank(len(names))
        for row, raw in enumerate(cast("list[bytes | None]", pipe.mget(names))):
            if raw is None:
                continue
            try:
                records[row] = layout.decode([raw])[0]
            except Unreadable:
                self.unreadable += 1
                log.exception("%s starts anew", names[row])
        events = [touch.event for touch in touches]
        self.dropped_late += layout.apply(
            records,
            np.array([row_of[touch.key] for touch in touches]),
            np.array([event.received_ms for event in events]),
            [_amounts(counter, events) for counter in (*layout.additive, *layout.distinct)],
        )
        return dict(zip(names, layout.encode(records), strict=True))


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


def _last_positions(batch: Sequence[Record]) -> dict[str, tuple[int, int]]:
    return {
        f"{record.id.region}/{record.id.writer}": (record.id.epoch, record.id.seq)
        for record in batch
    }


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
