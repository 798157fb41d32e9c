"""Events of a stream in batches, decoded and put in columns once for all the shards they touch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from app.features.blocks import Events
from app.features.countable import Countable, countable, events_of
from app.features.counter_store import shard_of
from app.features.packed import key, layouts_of
from app.features.rings import Bools, Int64s
from app.features.spec import MINUTE_MS, Entity, FeatureSet
from app.record.frames import Record
from app.streams.interface import (
    START,
    EventStream,
    Position,
    Positions,
    position_of,
    writer_of,
)

__all__ = ["BATCH_EVENTS_MAX", "Batch", "Feed", "Touched"]

BATCH_EVENTS_MAX = 512
# Clocks of two writers may differ by this much; what is further ahead speaks of a wrong one.
AHEAD_MS_MAX = 5 * MINUTE_MS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Keys of one entity, and the events that change them.

    Attributes:
        names: keys, each once.
        shard: of each key, shape (keys,).
        row: which key each change is of, shape (changes,).
        event: which event changes it, shape (changes,).
    """

    names: list[str]
    shard: Int64s
    row: Int64s
    event: Int64s

    def part(self, shard: int, fresh: Bools | None) -> Touched:
        """What is on one shard, and of events that are still to be applied (None: all are)."""
        mine = self.shard[self.row] == shard
        if fresh is not None:
            mine &= fresh[self.event]
        if mine.all():
            return self
        keys, row = np.unique(self.row[mine], return_inverse=True)
        return Touched(
            names=[self.names[at] for at in keys.tolist()],
            shard=self.shard[keys],
            row=row,
            event=self.event[mine],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Events that were read at once.

    Attributes:
        records: as the stream gave them.
        drained: whether the stream had no more.
        read_ms: just before they were read, ms since the epoch.
        events: those that count, in columns.
        record: which record each of them was, shape (events,).
        touched: keys that they change, by entity.
        spans: positions of each writer's first and last event; None where its events are out of
            order or there twice.
    """

    records: Sequence[Record]
    drained: bool
    read_ms: int
    events: Events
    record: Int64s
    touched: Mapping[Entity, Touched]
    spans: Mapping[str, tuple[Position, Position]] | None

    def behind(self, positions: Positions) -> tuple[Bools | None, dict[str, Position]]:
        """What of the batch is new to one who has applied up to the positions.

        Returns:
            Whether each event is, shape (events,), None for all of them; and the positions
            behind the batch.
        """
        after = dict(positions)
        if self.spans is not None and all(
            first > after.get(name, START) for name, (first, _) in self.spans.items()
        ):
            after.update((name, last) for name, (_, last) in self.spans.items())
            return None, after
        fresh = np.zeros(len(self.records), dtype=bool)
        for at, record in enumerate(self.records):
            name, position = writer_of(record.id), position_of(record.id)
            if position > after.get(name, START):
                after[name] = position
                fresh[at] = True
        return fresh[self.record], after


class Feed:
    """Reads a stream in batches.

    Attributes:
        positions: the last event read of each writer.
        unreadable: payloads that were passed over because they could not be read.
        ahead: events more than five minutes ahead of this host's clock: their writer's is wrong,
            or this one's is. They count at their own time, and older events of the same entities
            may no longer: each event moves the windows of what it touches.
    """

    def __init__(
        self,
        stream: EventStream,
        *,
        features: FeatureSet,
        shards: int,
        now_ms: Callable[[], int],
    ) -> None:
        """Make the feed; to be rewound before the first batch.

        Args:
            stream: of the region's events.
            features: what is counted.
            shards: of the region's store.
            now_ms: wall clock, ms since the epoch.
        """
        self.positions: dict[str, Position] = {}
        self.unreadable = 0
        self.ahead = 0
        self._stream = stream
        self._told_apart = features.told_apart
        self._counts = {
            entity: reader.layout.counts for entity, reader in layouts_of(features).items()
        }
        self._shards = shards
        self._now_ms = now_ms

    def rewind(self, positions: Positions) -> None:
        """Go back: what follows the positions is delivered (again).

        Raises:
            StreamError: see `EventStream.rewind`.
        """
        self._stream.rewind(positions)
        self.positions = dict(positions)

    def next(self) -> Batch:
        """The next events; none if there are no more yet.

        Raises:
            StreamError: see `EventStream.read`.
        """
        read_ms = self._now_ms()  # before the read, which so misses nothing of then
        records = self._stream.read(BATCH_EVENTS_MAX)
        counted, places = self._counted(records)
        events = events_of(counted, self._told_apart)
        self.ahead += int((events.at_ms > read_ms + AHEAD_MS_MAX).sum())
        batch = Batch(
            records=records,
            drained=len(records) < BATCH_EVENTS_MAX,
            read_ms=read_ms,
            events=events,
            record=np.array(places, dtype=np.int64),
            touched={
                entity: self._touched(counted, events, entity, counts)
                for entity, counts in self._counts.items()
                if counted  # most reads of a quiet stream have nothing
            },
            spans=_spans(records),
        )
        self.positions = batch.behind(self.positions)[1]
        return batch

    def _counted(self, records: Sequence[Record]) -> tuple[list[Countable], list[int]]:
        """What there is to count, and which record each is."""
        counted, places = [], []
        for at, record in enumerate(records):
            try:
                one = countable(record)
            except msgspec.MsgspecError:  # it would come again for ever
                self.unreadable += 1
                log.exception("%s is passed over", record.id)
                continue
            if one is not None:
                counted.append(one)
                places.append(at)
        return counted, places

    def _touched(
        self, counted: Sequence[Countable], events: Events, entity: Entity, counts: int
    ) -> Touched:
        """Keys of an entity that the events change."""
        rows: dict[str, int] = {}
        row, event = [], []
        for at in np.flatnonzero(events.what & counts).tolist():
            one = counted[at]
            if (id := one.entities.get(entity)) is not None:
                row.append(rows.setdefault(key(one.tenant, entity, id), len(rows)))
                event.append(at)
        names = list(rows)
        return Touched(
            names=names,
            shard=np.array([shard_of(name, self._shards) for name in names], dtype=np.int64),
            row=np.array(row, dtype=np.int64),
            event=np.array(event, dtype=np.int64),
        )


def _spans(records: Sequence[Record]) -> dict[str, tuple[Position, Position]] | None:
    spans: dict[str, tuple[Position, Position]] = {}
    for record in records:
        name, position = writer_of(record.id), position_of(record.id)
        first, last = spans.get(name, (position, START))
        if position <= last:
            return None
        spans[name] = first, position
    return spans
