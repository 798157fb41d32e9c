"""What the journals hold that is not on the stream yet, measured on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.record.checkpoint import Place
from app.record.frames import HEADER_BYTES, segment_name, segments_of

__all__ = ["Backlog", "backlog_of"]

NOTHING = Place(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is not published.

    Attributes:
        events: estimated from the bytes.
        bytes: in the journals.
    """

    events: int
    bytes: int


def backlog_of(
    journals: Path, published: Mapping[str, Place], *, region: int, event_bytes: float
) -> Backlog:
    """The backlog; one stat a segment, nothing is read.

    Args:
        journals: folder with one folder a writer.
        published: the last event of each writer, by "region/writer".
        region: number.
        event_bytes: mean size of an event.
    """
    waiting = sum(
        _waiting_bytes(slot, published.get(f"{region}/{int(slot.name)}", NOTHING))
        for slot in journals.glob("[0-9]*")
    )
    return Backlog(events=round(waiting / event_bytes), bytes=waiting)


def _waiting_bytes(slot: Path, place: Place) -> int:
    """Bytes behind a place in a writer's segments."""
    segments = segments_of(slot)
    # Names sort in the order of the records: the event is in the last one not behind it.
    last = segment_name(*place.position)
    reached = [path for path in segments if path.name <= last]
    waiting = sum(max(_bytes(path) - HEADER_BYTES, 0) for path in segments[len(reached) :])
    if reached:
        waiting += max(_bytes(reached[-1]) - max(place.end, HEADER_BYTES), 0)
    return waiting


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed since it was listed
        return 0
