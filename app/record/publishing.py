"""The shipper's first half: from the journals on this host to the region's stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.record.checkpoint import Checkpoint, Place
from app.record.frames import Record
from app.record.target import Target
from app.streams.heartbeat import heartbeat
from app.streams.interface import (
    EventStream,
    Positions,
    StreamPublisher,
    StreamTailLost,
    position_of,
    writer_of,
)
from fallback.clock import Clock

__all__ = ["BATCH_EVENTS_MAX", "Publishing"]

BATCH_EVENTS_MAX = 1_024
HEARTBEAT_S = 0.25
EVENT_BYTES = 1_500.0  # about one decision: before anything was published
RECORD_BYTES = 56  # of a record beside its payload

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """What is being published.

    Attributes:
        events: of the journals.
        drained: whether the journals had no more.
        complete_ms: all that was journaled before, ms since the epoch, was read with it; None where
            they had more, or no heartbeat is due.
        read_s: when it was read, on the monotonic clock.
    """

    events: list[Record]
    drained: bool
    complete_ms: int | None
    read_s: float


class Publishing:
    """Publishes what is appended, in batches, each until the stream has taken it.

    Attributes:
        events: published; those that were published again count again.
        bytes: of them in the journal.
        published: the last event of each writer, heartbeats included.
        tails_lost: how often the stream had forgotten what it had taken.
    """

    def __init__(
        self,
        journals: EventStream,
        publisher: StreamPublisher,
        target: Target,
        checkpoint: Checkpoint,
        *,
        region: int,
        clock: Clock,
        journaled_ms: Callable[[], int],
    ) -> None:
        """Go on from a checkpoint.

        Args:
            journals: of this host.
            publisher: to the region's stream, made from the same checkpoint.
            target: is the stream, for its breaker.
            checkpoint: where to go on.
            region: its number.
            clock: paces heartbeats and ages the backlog.
            journaled_ms: all that was journaled before is in the journals' files; wall clock, ms
                since the epoch.
        """
        self.events = 0
        self.bytes = 0
        self.tails_lost = 0
        self.published = dict(checkpoint.published)
        self._journals = journals
        self._publisher = publisher
        self._target = target
        self._region = region
        self._clock = clock
        self._journaled_ms = journaled_ms
        self._batch: _Batch | None = None
        self._beaten_s = -HEARTBEAT_S
        self._complete_s = clock.monotonic()
        journals.rewind(checkpoint.positions)

    @property
    def checkpoint(self) -> Checkpoint:
        """Where a shipper would go on that starts now."""
        return Checkpoint(published=dict(self.published))

    @property
    def event_bytes(self) -> float:
        """Mean size of an event in the journal."""
        return self.bytes / self.events if self.events else EVENT_BYTES

    @property
    def behind_s(self) -> float:
        """Since the stream had everything."""
        return self._clock.monotonic() - self._complete_s

    def step(self) -> int:
        """Publish one batch; how many events it had.

        Raises:
            TargetDown: the stream takes nothing; the batch is kept.
        """
        if self._batch is None:
            self._batch = self._read()
        batch = self._batch
        records = [*batch.events, *self._heartbeats(batch)]
        if records:
            try:
                self._target.call(self._publisher.publish, records)
            except StreamTailLost as lost:
                self._go_back(lost.positions)
                return 0
        self._note(batch, records)
        return len(batch.events)

    def _read(self) -> _Batch:
        # Both before the read, which so misses nothing of then.
        now_s = self._clock.monotonic()
        due = now_s - self._beaten_s >= HEARTBEAT_S
        complete_ms = self._journaled_ms() if due else None
        events = self._journals.read(BATCH_EVENTS_MAX)
        drained = len(events) < BATCH_EVENTS_MAX
        return _Batch(events, drained, complete_ms if drained else None, now_s)

    def _heartbeats(self, batch: _Batch) -> list[Record]:
        """A heartbeat behind the batch, if one is due and the journals had no more."""
        if batch.complete_ms is None:
            return []
        positions = self.checkpoint.positions
        positions |= {writer_of(record.id): position_of(record.id) for record in batch.events}
        return [heartbeat(self._region, batch.complete_ms, positions)]

    def _note(self, batch: _Batch, records: Sequence[Record]) -> None:
        for record in records:
            self.published[writer_of(record.id)] = Place(record.id.epoch, record.id.seq, record.end)
        if len(records) > len(batch.events):
            self._beaten_s = batch.read_s
        if batch.drained:
            self._complete_s = batch.read_s
        self.events += len(batch.events)
        self.bytes += sum(RECORD_BYTES + len(record.payload) for record in batch.events)
        self._batch = None

    def _go_back(self, positions: Positions) -> None:
        """The stream forgot what it had taken: from there on everything is published again."""
        self.tails_lost += 1
        log.warning("the stream ends before what was published; going back to %s", dict(positions))
        self.published |= {name: Place(*position) for name, position in positions.items()}
        self._journals.rewind(self.checkpoint.positions)
        self._batch = None
