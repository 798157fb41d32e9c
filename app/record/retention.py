"""The journals' share of the disk.

A region's journal folder takes at most `journal_bytes_max`. When it is full, the oldest segments
that are sealed and were shipped go; each leaves a stub, its header and its seal, in the writer's
`removed.jsonl`, so that the chain can be followed, and signatures checked, from the first record
on. The newest segment of a writer always stays. Where nothing may go, the journal takes no more
records until something was shipped: records are not traded for records.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import msgspec

from app.record.frames import (
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    records,
    segments_of,
)
from app.record.lines import append_lines, whole_lines

__all__ = ["DiskShare", "Stub", "mark_shipped", "stubs_of"]

REMOVED = "removed.jsonl"

log = logging.getLogger(__name__)


class Stub(msgspec.Struct, frozen=True, kw_only=True):
    """What stays of a segment that was removed.

    Attributes:
        name: of the segment's file.
        header: its bytes.
        seal: bytes of its last record.
    """

    name: str
    header: bytes
    seal: bytes


def mark_shipped(segment: Path) -> None:
    """Say that a segment is safe elsewhere, so that it may be removed. For the shipper.

    The marker holds the stub, made here so that no scorer has to read a whole segment for it.

    Raises:
        BrokenChain: the segment is damaged or not sealed; it has to stay.
    """
    data = segment.read_bytes()
    header = SegmentHeader.unpack(data)
    start, last = HEADER_BYTES, None
    for record in records(data[HEADER_BYTES:], header):
        start, last = start if last is None else last.end, record
    if last is None or last.kind is not Kind.SEAL or last.end != len(data):
        raise BrokenChain("the segment is not sealed")
    stub = Stub(name=segment.name, header=data[:HEADER_BYTES], seal=data[start:])
    marker = _marker(segment)
    fresh = marker.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(stub))
    fresh.replace(marker)


def stubs_of(slot: Path) -> dict[str, Stub]:
    """Stubs of a writer's removed segments, by name of their file.

    Raises:
        msgspec.MsgspecError: a line is none.
    """
    lines = whole_lines(slot / REMOVED)
    return {stub.name: stub for stub in (msgspec.json.decode(line, type=Stub) for line in lines)}


class DiskShare:
    """Watches what a region's journals take, and frees what may go. Not for the decision path.

    Attributes:
        full: whether nothing more may be written; read by the decision path.
    """

    def __init__(self, folder: Path, *, bytes_max: int) -> None:
        """Watch a region's journal folder.

        Args:
            folder: with one folder a writer.
            bytes_max: that it may take.
        """
        self.full = False
        self._folder = folder
        self._bytes_max = bytes_max

    def refresh(self) -> None:
        """Look at the disk; free what is too much. One stat a file, about 2 us each."""
        excess = self._used() - self._bytes_max
        if excess >= 0:
            with _alone(self._folder / "retention.lock") as alone:
                if not alone:
                    return  # another process is freeing: the next look will tell
                excess -= self._free(excess)
        self.full = excess >= 0

    def _used(self) -> int:
        return sum(
            _bytes(path)
            for slot in self._folder.glob("[0-9]*")
            for path in (*segments_of(slot), slot / REMOVED)
        )

    def _free(self, excess: int) -> int:
        """Remove segments, oldest first, until more than the excess is freed."""
        shipped = [
            segment
            for slot in self._folder.glob("[0-9]*")
            for segment in takewhile(_shipped, segments_of(slot)[:-1])
        ]
        freed = 0
        for segment in sorted(shipped, key=_age):
            if freed > excess:
                break
            size = _bytes(segment)
            try:
                _remove(segment)
            except (OSError, msgspec.MsgspecError):
                log.exception("%s was shipped, and cannot be removed", segment)
            else:
                freed += size
        return freed


def _remove(segment: Path) -> None:
    """Remove a shipped segment; its stub is on disk before it goes."""
    marker = _marker(segment)
    stub = msgspec.json.decode(marker.read_bytes(), type=Stub)
    if segment.name not in stubs_of(segment.parent):  # else a removal that was cut short
        append_lines(segment.parent / REMOVED, [msgspec.json.encode(stub)])
    segment.unlink()
    marker.unlink()


def _marker(segment: Path) -> Path:
    return segment.with_name(segment.name + ".shipped")


def _shipped(segment: Path) -> bool:
    return _marker(segment).exists()


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # removed by another process, or not there yet
        return 0


def _age(segment: Path) -> float:
    return segment.stat().st_mtime


@contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Whether no other process is at it; it stays so within the block."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
