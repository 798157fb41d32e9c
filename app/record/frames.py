"""The journal's format on disk. Final: segments are kept for years.

A segment is a header and records, little endian:

    header, 64 bytes                          record
      4  magic "SDJ1"                           4  length of the payload
      1  format version                         1  kind (decision, outcome, label, seal)
      1  region number                          1  payload version
      2  writer                                 2  reserved, zero
      4  writer epoch                           8  seq
      8  first seq                              8  written at, ms since the epoch
      8  opened at, ms since the epoch          .  payload (MessagePack)
     32  head of the chain before               32  head of the chain after
      4  reserved, zero

The chain is head' = SHA-256(head + record without its last 32 bytes); a segment starts it from
head = SHA-256(header), and the header holds the head that the segment before ended with. So one
hash is checksum and chain in one: a torn tail, a changed byte, a record left out or moved all
show as a head that does not follow.
"""

from __future__ import annotations

import enum
import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.ids import EventId

__all__ = [
    "GENESIS",
    "HEADER_BYTES",
    "PAYLOAD_BYTES_MAX",
    "BrokenChain",
    "Kind",
    "Record",
    "SegmentHeader",
    "frame",
    "payload_of",
    "records",
    "segment_name",
    "segments_of",
]

MAGIC = b"SDJ1"
VERSION = 1
GENESIS = bytes(32)
PAYLOAD_BYTES_MAX = 2**20

_HEADER = struct.Struct("<4sBBHIQq32s4x")
HEADER_BYTES = _HEADER.size
_RECORD = struct.Struct("<IBBHQq")
_SEQ_AT = 8  # of the record's seq in the record
_HEAD_BYTES = 32


class BrokenChain(Exception):  # noqa: N818 - a fact about data, said as one
    """A segment or record does not read as written."""


class Kind(enum.IntEnum):
    """What a record is about."""

    DECISION = 1
    OUTCOME = 2
    LABEL = 3
    SEAL = 4  # closes a segment: app.record.seal
    GAP = 5  # decisions that were answered without a record: app.record.gap
    EXPLANATION = 6  # why a model scored as it did: app.record.explanation
    EFFECT = 7  # an outcome or label joined with its decision: app.record.effect


_KINDS: dict[int, Kind] = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentHeader:
    """What a segment says of itself."""

    region: int
    writer: int
    epoch: int
    first_seq: int
    opened_ms: int
    previous: bytes

    def pack(self) -> bytes:
        """The header's bytes."""
        return _HEADER.pack(
            MAGIC,
            VERSION,
            self.region,
            self.writer,
            self.epoch,
            self.first_seq,
            self.opened_ms,
            self.previous,
        )

    @classmethod
    def unpack(cls, data: bytes) -> SegmentHeader:
        """Read a header.

        Raises:
            BrokenChain: too short, not a segment, or of a later format.
        """
        if len(data) < _HEADER.size:
            raise BrokenChain("the segment ends within its header")
        magic, version, region, writer, epoch, first, opened, previous = _HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION or any(data[_HEADER.size - 4 : _HEADER.size]):
            raise BrokenChain("not a journal segment of this format")
        return cls(
            region=region,
            writer=writer,
            epoch=epoch,
            first_seq=first,
            opened_ms=opened,
            previous=previous,
        )

    @property
    def head(self) -> bytes:
        """The chain's head before the first record."""
        return hashlib.sha256(self.pack()).digest()


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read.

    Attributes:
        id: the event's identity.
        kind: what it is about; a number where a later release gave one that is not known here.
        written_ms: when it was appended.
        payload: MessagePack.
        head: the chain's head after it.
        end: offset in the segment just behind it.
    """

    id: EventId
    kind: Kind | int
    written_ms: int
    payload: bytes
    head: bytes
    end: int


def frame(*, kind: Kind, seq: int, written_ms: int, payload: bytes, head: bytes) -> bytes:
    """A record's bytes, its own head last.

    Raises:
        ValueError: the payload is longer than a reader would take.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload of {len(payload)} bytes is too long for a record")
    body = _RECORD.pack(len(payload), kind, 1, 0, seq, written_ms) + payload
    return body + hashlib.sha256(head + body).digest()


def records(
    data: bytes, header: SegmentHeader, *, offset: int = HEADER_BYTES, head: bytes | None = None
) -> Iterator[Record]:
    """Read the whole records of a segment.

    Args:
        data: the segment's bytes from `offset` on.
        header: the segment's header.
        offset: where in the segment `data` starts.
        head: the chain's head at `offset`; the header's own by default.

    Yields:
        Each record whose head follows from the one before. Stops at an incomplete record.

    Raises:
        BrokenChain: a complete record's head does not follow, or an incomplete one is not the
            last: its length was changed.
    """
    head = header.head if head is None else head
    at = 0
    while at + _RECORD.size <= len(data):
        length, kind, _, _, seq, written_ms = _RECORD.unpack_from(data, at)
        if length > PAYLOAD_BYTES_MAX:
            raise BrokenChain(f"a record claims {length} bytes")
        body_end = at + _RECORD.size + length
        end = body_end + _HEAD_BYTES
        if end > len(data):
            if _stands_in(data[at:], seq + 1):
                raise BrokenChain(f"the record at seq {seq} does not end where it says")
            return
        expected = hashlib.sha256(head + data[at:body_end]).digest()
        if expected != data[body_end:end]:
            raise BrokenChain(f"the chain breaks at seq {seq}")
        head = expected
        yield Record(
            EventId(header.region, header.writer, header.epoch, seq),
            _KINDS.get(kind, kind),
            written_ms,
            data[at + _RECORD.size : body_end],
            head,
            offset + end,
        )
        at = end


def payload_of(record: bytes) -> bytes:
    """The payload of one whole record, unchecked."""
    return record[_RECORD.size : -_HEAD_BYTES]


def _stands_in(data: bytes, seq: int) -> bool:
    """Whether the whole record `seq`, with the head before it, is somewhere in the data."""
    wanted = (seq % 2**64).to_bytes(8, "little")
    found = data.find(wanted, _HEAD_BYTES + _SEQ_AT)
    while found >= 0:
        start = found - _SEQ_AT
        if start + _RECORD.size > len(data):
            return False
        length, *_ = _RECORD.unpack_from(data, start)
        end = start + _RECORD.size + length
        head = hashlib.sha256(data[start - _HEAD_BYTES : end]).digest()
        if data[end : end + _HEAD_BYTES] == head:
            return True
        found = data.find(wanted, found + 1)
    return False


def segment_name(epoch: int, first_seq: int) -> str:
    """File name of a segment; names sort in the order of the records."""
    return f"{epoch:08d}-{first_seq:012d}.journal"


def segments_of(folder: Path) -> list[Path]:
    """A writer's segments, oldest first; none where there is no such folder."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - several followers ask all the time
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name.endswith(".journal")]
