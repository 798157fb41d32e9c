"""Freshness that travels with the events: by when the journals were on the stream to their end.

An empty read of a stream says nothing of the journals behind it: the shipper may be down. So the
shipper, whenever it has read the journals to their end, publishes a heartbeat: "what was journaled
by `at_ms` ends at these positions". Who has applied up to the positions has everything of then.
With the positions in it, a heartbeat may overtake events, as it does where shards have no order
between them. Without a shipper there are none, and what was applied visibly ages.

A heartbeat is an event of a writer of its own, so that every stream carries it as it is. Its
position is its time: whoever went over a hole in the stream knows where to go on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence

import msgspec

from app.ids import EventId
from app.record.frames import Record
from app.streams.interface import START, Position, Positions

__all__ = [
    "KEPT_EVERY_MS",
    "WRITER",
    "Freshness",
    "heartbeat",
    "latest_ms",
    "published_by_journals",
]

WRITER = 65_535  # no journal takes this slot: it is behind the last host's
KIND = 255  # no kind of the journal
# A reader that keeps no time beside its positions reads on from their last heartbeat. So it has to
# keep one now and then, or that would get older than the stream reaches back.
KEPT_EVERY_MS = 3_600_000
# A reader that is far behind keeps this many; it becomes fresh later for those it dropped.
PENDING_MAX = 1_000

log = logging.getLogger(__name__)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Payload of a heartbeat.

    Attributes:
        at_ms: ms since the epoch.
        positions: what was journaled by then ends with these, by writer.
    """

    at_ms: int
    positions: dict[str, Position]


def heartbeat(region: int, at_ms: int, positions: Positions) -> Record:
    """The event that says that the journals, read to their end at `at_ms`, ended there."""
    beat = Heartbeat(at_ms=at_ms, positions=published_by_journals(positions))
    id = EventId(region, WRITER, at_ms, 1)
    return Record(id, KIND, at_ms, msgspec.msgpack.encode(beat), b"", 0)


def published_by_journals(positions: Positions) -> dict[str, Position]:
    """The positions without those of heartbeats."""
    return {name: at for name, at in positions.items() if not name.endswith(f"/{WRITER}")}


def latest_ms(positions: Positions) -> int:
    """When the last heartbeat among the positions was made, ms since the epoch; 0 without one.

    Whoever took it, and reads in the order of arrival, lacks nothing that arrived before.
    """
    beats = (epoch for name, (epoch, _) in positions.items() if name.endswith(f"/{WRITER}"))
    return max(beats, default=0)


class Freshness:
    """By when everything journaled was applied, as far as heartbeats tell."""

    def __init__(self, as_of_ms: int) -> None:
        """Start.

        Args:
            as_of_ms: what is known already, ms since the epoch; 0 for nothing.
        """
        self._as_of_ms = as_of_ms
        self._pending: deque[Heartbeat] = deque(maxlen=PENDING_MAX)

    def after(self, batch: Sequence[Record], applied: Positions) -> int:
        """By when everything is applied, ms since the epoch, once the batch is.

        Args:
            batch: that is being applied.
            applied: positions behind it.
        """
        self._pending += (beat for r in batch if r.kind == KIND and (beat := _read(r)) is not None)
        while self._pending and _covers(applied, self._pending[0].positions):
            self._as_of_ms = max(self._as_of_ms, self._pending.popleft().at_ms)
        return self._as_of_ms


_decoder = msgspec.msgpack.Decoder(Heartbeat)


def _read(record: Record) -> Heartbeat | None:
    try:
        return _decoder.decode(record.payload)
    except msgspec.MsgspecError:  # without it the counters age, which is how it shows
        log.exception("%s is no heartbeat known here", record.id)
        return None


def _covers(applied: Positions, wanted: Positions) -> bool:
    return all(applied.get(name, START) >= position for name, position in wanted.items())
