"""What the shipper and the applier ask of a stream of events.

How it may fail:

StreamError
  StreamUnavailable   out of reach, throttled or refused; the same call may work later
  StreamGap           for the reader: events are missing, and the stream cannot give them
  StreamTailLost      for the publisher: the stream forgot events that it had taken
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.ids import EventId
from app.record.frames import Record

__all__ = [
    "START",
    "EventStream",
    "Position",
    "Positions",
    "StreamError",
    "StreamGap",
    "StreamPublisher",
    "StreamTailLost",
    "StreamUnavailable",
    "position_of",
    "writer_of",
]

# (epoch, seq) of an event within its journal writer; compares in the order of the events.
Position = tuple[int, int]
# The last event taken of each journal writer; keys are "region/writer".
Positions = Mapping[str, Position]
# Before every event.
START: Position = (0, 0)


class StreamError(Exception):
    """The stream did not do what was asked of it."""


class StreamUnavailable(StreamError):  # noqa: N818 - a state, said as one
    """The stream is out of reach, throttled or refuses; the same call may work later."""


class StreamGap(StreamError):  # noqa: N818 - a fact about data, said as one
    """Events behind the positions are not on the stream: trimmed, lost or unreadable.

    Reading on would leave them out in silence. They have to come from the journal or from
    history; then the reader is rewound to positions behind the gap.
    """


class StreamTailLost(StreamError):  # noqa: N818 - a fact about data, said as one
    """The stream ends before what was published: its server came back without its last writes.

    Attributes:
        positions: what the stream ends with now, for each writer concerned. The publisher goes
            on from there: the events that follow have to be published again.
    """

    def __init__(self, positions: Positions) -> None:
        super().__init__(f"the stream ends before what was published: {dict(positions)}")
        self.positions = positions


class EventStream(Protocol):
    """Events of one region, in order for each journal writer, at least once.

    Position is by event identity, never by the stream's own numbering: a reader that was told to
    rewind gets every event behind the positions again, whatever happened to the stream between.
    """

    def rewind(self, positions: Positions) -> None:
        """Go back: what follows the positions is delivered (again).

        Raises:
            StreamError: unavailable, or the stream is known not to reach back so far.
        """
        ...

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, without waiting; fewer only if there are no more yet.

        Raises:
            StreamUnavailable: no event is lost by it; the next read goes on.
            StreamGap: only a rewind to positions behind the gap helps.
        """
        ...


class StreamPublisher(Protocol):
    """Puts journal records on a region's stream, in order for each writer, at least once."""

    def publish(self, records: Sequence[Record]) -> None:
        """Publish records that follow, for each writer, those published before.

        None at all asks whether everything published is still there.

        Raises:
            StreamUnavailable: perhaps a part was taken. The same records may be given again:
                readers drop what they know.
            StreamTailLost: nothing was taken; events have to be published again.
        """
        ...


def writer_of(id: EventId) -> str:
    """The journal writer's name in positions."""
    return f"{id.region}/{id.writer}"


def position_of(id: EventId) -> Position:
    """The event's position within its writer."""
    return id.epoch, id.seq
