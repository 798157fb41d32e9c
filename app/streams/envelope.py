"""How events look on a stream: runs of one writer's records, each naming the event it follows.

One entry of a stream holds a run, so that the cost of an entry is shared, and so that a part of
one writer's events can never overtake another part within a request. MessagePack, a map:

    v        version of this format, 1
    region   }  the journal writer
    writer   }
    after    [epoch, seq] of the writer's event before the run; [0, 0] where none is known
    events   [epoch, seq, kind, written at (ms since the epoch), payload, head of the chain]

`after` is what makes a loss visible. Sequence numbers alone would not do: an epoch may end at any
number, and a damaged journal leaves some out for good. Fields and elements of a later release
are passed over; what an older reader must not misread gets another `v`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from app.ids import EventId
from app.record.frames import Kind, Record
from app.streams.interface import (
    START,
    Position,
    Positions,
    StreamGap,
    position_of,
    writer_of,
)

__all__ = ["Follower", "Run", "Unreadable", "decode", "encode", "runs_of"]

VERSION = 1
# A run is one entry: small enough for one Kinesis record and for a reader's memory.
RUN_EVENTS_MAX = 128
RUN_BYTES_MAX = 128 * 2**10

_KINDS: dict[int, Kind] = {kind.value: kind for kind in Kind}


class Unreadable(Exception):  # noqa: N818 - a fact about data, said as one
    """An entry is not a run of events in a format known here."""


class Event(Struct, frozen=True, array_like=True):
    """One record of a run; see `app.record.frames.Record`."""

    epoch: int
    seq: int
    kind: int
    written_ms: int
    payload: bytes
    head: bytes


class Run(Struct, frozen=True, kw_only=True):
    """Consecutive events of one writer, at least one; the module says what the fields are."""

    v: int = VERSION
    region: int
    writer: int
    after: Position
    events: list[Event]

    @property
    def name(self) -> str:
        """The journal writer's name in positions."""
        return f"{self.region}/{self.writer}"

    @property
    def last(self) -> Position:
        """Position of the last event."""
        return self.events[-1].epoch, self.events[-1].seq

    def behind(self, position: Position) -> list[Record]:
        """The records behind a position. Where they end in their segment, a stream cannot say."""
        return [
            Record(
                EventId(self.region, self.writer, event.epoch, event.seq),
                _KINDS.get(event.kind, event.kind),
                event.written_ms,
                event.payload,
                event.head,
                0,
            )
            for event in self.events
            if (event.epoch, event.seq) > position
        ]


class Follower:
    """Takes runs as a stream delivers them, and gives each event once, none left out.

    Attributes:
        positions: the last event given, by writer.
    """

    def __init__(self, positions: Positions) -> None:
        self.positions: dict[str, Position] = dict(positions)

    def take(self, data: bytes) -> list[Record]:
        """The events of an entry that are new.

        Raises:
            StreamGap: the run follows an event that never came, or cannot be read.
        """
        try:
            run = decode(data)
        except Unreadable as error:
            raise StreamGap(f"an entry of the stream cannot be read: {error}") from error
        position = self.positions.get(run.name, START)
        if run.after > position:
            raise StreamGap(f"writer {run.name} goes on behind {run.after}, not {position}")
        if run.last <= position:
            return []
        self.positions[run.name] = run.last
        return run.behind(position)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Run)


def encode(run: Run) -> bytes:
    """The run as an entry of a stream."""
    return _encoder.encode(run)


def decode(data: bytes) -> Run:
    """Read an entry.

    Raises:
        Unreadable: it is no run of events, or of a later format.
    """
    try:
        run = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from error
    if run.v != VERSION or not run.events:
        raise Unreadable(f"format {run.v} with {len(run.events)} events")
    return run


def runs_of(records: Iterable[Record], published: Positions) -> dict[str, list[Run]]:
    """Records as runs, in order, by writer.

    Args:
        records: to be published, each writer's in order.
        published: the event before, for each writer; where it is not given, or does not come
            before, the first event's own number has to say what it follows.
    """
    by_writer: dict[str, list[Record]] = {}
    for record in records:
        by_writer.setdefault(writer_of(record.id), []).append(record)
    return {name: list(_runs(mine, published.get(name, START))) for name, mine in by_writer.items()}


def _runs(records: Sequence[Record], published: Position) -> Iterator[Run]:
    first = records[0].id
    after = published if START < published < position_of(first) else _just_before(first)
    for part in _parts(records):
        yield Run(
            region=first.region,
            writer=first.writer,
            after=after,
            events=[
                Event(r.id.epoch, r.id.seq, int(r.kind), r.written_ms, r.payload, r.head)
                for r in part
            ],
        )
        after = position_of(part[-1].id)


def _parts(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Cut where a run would get too long; a record that is too long by itself is one of its own."""
    start, size = 0, 0
    for at, record in enumerate(records):
        size += len(record.payload)
        if at > start and (size > RUN_BYTES_MAX or at - start == RUN_EVENTS_MAX):
            yield records[start:at]
            start, size = at, len(record.payload)
    yield records[start:]


def _just_before(id: EventId) -> Position:
    return (id.epoch, id.seq - 1) if id.seq > 1 else START
