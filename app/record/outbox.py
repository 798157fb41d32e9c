"""The joiner's outbox: effects that its index has committed and its journal may not have yet.

A batch's effects and positions are committed to the index first, then the effects are appended to
the journal. A process that dies between the two left effects in the outbox that are not in the
journal; the next one compares, and appends those. So each effect is in the journal once, and is
never worked out a second time from a state that may have moved on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from app.ids import EventId
from app.record.frames import (
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    records,
    segment_name,
    segments_of,
)
from app.streams.interface import Position

__all__ = ["Progress", "decode_progress", "encode_progress", "not_written"]

log = logging.getLogger(__name__)


class Progress(Struct, frozen=True, kw_only=True):
    """How far the joiner is.

    Attributes:
        positions: last (epoch, seq) taken of each journal writer, by "region/writer".
        outbox: the last effects, as journal payloads.
        end: where the joiner's journal ended before them; a seq of 0 for a new epoch.
    """

    positions: dict[str, Position] = {}
    outbox: list[bytes] = []
    end: EventId = EventId(0, 0, 0, 0)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Progress)


def encode_progress(progress: Progress) -> bytes:
    """Progress as it is kept."""
    return _encoder.encode(progress)


def decode_progress(kept: bytes) -> Progress:
    """Read progress."""
    return _decoder.decode(kept)


def not_written(folder: Path, progress: Progress) -> list[bytes]:
    """The effects of the outbox that are not in the journal.

    Looked for in the epoch that they were meant for, whoever has the writer slot by now. That the
    segment is gone means that it was sealed, shipped and made room for others since: effects are
    appended at once, so they are taken as written, and the log says so.

    Args:
        folder: the region's journal folder.
        progress: as kept.

    Raises:
        OSError: the journal cannot be read.
    """
    if not progress.outbox:
        return []
    end = progress.end
    segments = _segments(folder / f"{end.writer:05d}", end)
    if not segments:
        log.error(
            "the journal's epoch %d of writer %d is gone: its last %d effects are taken as written",
            end.epoch,
            end.writer,
            len(progress.outbox),
        )
        return []
    written = {payload for segment in segments for payload in _effects(segment, end)}
    return [effect for effect in progress.outbox if effect not in written]


def _segments(slot: Path, end: EventId) -> Sequence[Path]:
    """The segments of the epoch that have what came behind the end."""
    epoch, following = f"{end.epoch:08d}-", segment_name(end.epoch, end.seq + 1)
    segments = [path for path in segments_of(slot) if path.name.startswith(epoch)]
    before = sum(path.name <= following for path in segments)
    return segments[before - 1 :] if before else []


def _effects(segment: Path, end: EventId) -> Iterator[bytes]:
    """Effects behind the end."""
    data = segment.read_bytes()
    try:
        for record in records(data[HEADER_BYTES:], SegmentHeader.unpack(data)):
            if record.kind is Kind.EFFECT and record.id.seq > end.seq:
                yield record.payload
    except BrokenChain as error:  # empty, or damaged: nothing behind it was ever delivered
        log.warning("%s: %s", segment, error)
