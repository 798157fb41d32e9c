"""A ring in shared memory: what was appended to a journal and is not in its files yet.

The stream of a writer's bytes, headers of segments included, goes round in a fixed room. Positions
are counted in bytes since the ring was made and never start anew. A mark says at which of them a
segment starts, so that every byte has its place in a file, and writing it twice is writing it once.

    8 KiB   words of 8 bytes, marks, and the folder that the ring belongs to
      .     the room

One process appends, one thread of it takes; neither waits for the other. What is put becomes
part of the ring by one aligned store of a word, after all of its bytes: a process that is killed on
the way has put nothing. Pure memory: `app.record.ring_file` says where it lies.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.record.frames import SegmentHeader, segment_name

__all__ = ["MARKS", "OVERHEAD_BYTES", "ForeignRing", "Piece", "Ring", "check_of"]

OVERHEAD_BYTES = 8_192
MARKS = 128  # segments that may be waiting at once

_MAGIC = int.from_bytes(b"SDRING\0\1", "little")
# Words, by number. Those of the appending side and of the taking side lie in cache lines apart.
_FORMAT, _ROOM, _EPOCH = 0, 1, 2
_PUT, _STARTED, _SINCE = 8, 9, 10
_TAKEN, _UP_TO = 16, 17
_FIRST_MARK = 64
_MARK_WORDS = 3  # position, first seq, the start of its header's hash
_OWNER_AT, _OWNER_BYTES_MAX = 4_096, 4_096


class ForeignRing(Exception):  # noqa: N818 - a fact about data, said as one
    """Not a ring, or not of this journal: nothing of it may get into its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Waiting bytes of one segment.

    Attributes:
        epoch: of the segment.
        first_seq: of the segment.
        check: of its header, see `check_of`.
        at: position of the bytes.
        length: how many.
        offset: of the first one in the segment's file.
    """

    epoch: int
    first_seq: int
    check: int
    at: int
    length: int
    offset: int

    @property
    def name(self) -> str:
        """Of the segment's file."""
        return segment_name(self.epoch, self.first_seq)


class Ring:
    """One writer's ring. For one appending thread and one taking thread."""

    def __init__(self, memory: memoryview, owner: Path) -> None:
        """Use a ring that is there.

        Args:
            memory: all of it; read-only will do for looking.
            owner: the writer's folder, resolved.

        Raises:
            ForeignRing: it is none, or another writer's.
        """
        if (fault := _fault(memory, owner)) is not None:
            raise ForeignRing(fault)
        self._words, self._room = memory[:_OWNER_AT].cast("Q"), memory[OVERHEAD_BYTES:]
        self._size = len(self._room)

    @classmethod
    def made(cls, memory: memoryview, owner: Path, *, epoch: int) -> Ring:
        """Make a ring in memory that holds zeros.

        Args:
            memory: all of it.
            owner: the writer's folder, resolved.
            epoch: of the writer.

        Raises:
            OSError: the folder's path is too long.
        """
        memory[_OWNER_AT:OVERHEAD_BYTES] = _packed(owner)
        with memory[:_OWNER_AT].cast("Q") as words:
            words[_ROOM], words[_EPOCH] = len(memory) - OVERHEAD_BYTES, epoch
            words[_FORMAT] = _MAGIC  # last: before, it is no ring
        return cls(memory, owner)

    @staticmethod
    def owner_in(start: bytes) -> Path | None:
        """Whose ring starts with so many bytes as go before the room; None where it is none."""
        if len(start) < OVERHEAD_BYTES or int.from_bytes(start[:8], sys.byteorder) != _MAGIC:
            return None
        return Path(os.fsdecode(start[_OWNER_AT:OVERHEAD_BYTES].rstrip(b"\0")))

    @property
    def epoch(self) -> int:
        """Of the writer."""
        return self._words[_EPOCH]

    @property
    def empty(self) -> bool:
        """Whether all that was put is taken."""
        return self._words[_PUT] == self._words[_TAKEN]

    @property
    def waiting_since_ms(self) -> int | None:
        """All that was put before that, ms since the epoch, was taken; None where nothing waits."""
        if self.empty:
            return None
        return max(self._words[_SINCE], self._words[_UP_TO])

    def fits(self, length: int) -> bool:
        """Whether so many bytes, and the mark of a new segment among them, can be put."""
        words, started = self._words, self._words[_STARTED]
        if words[_PUT] + length - words[_TAKEN] > self._size:
            return False
        # The oldest mark is overwritten: the segment of the second-oldest must have been begun.
        return started < MARKS or self._mark(started - MARKS + 1)[0] <= words[_TAKEN]

    def put(self, data: bytes) -> bool:
        """Put bytes of the current segment; False, and nothing is put, where there is no room."""
        words = self._words
        at, length, size = words[_PUT], len(data), self._size
        if at + length - words[_TAKEN] > size:
            return False
        start = at % size
        if start + length <= size:
            self._room[start : start + length] = data
        else:
            cut = size - start
            self._room[start:] = data[:cut]
            self._room[: length - cut] = data[cut:]
        words[_PUT] = at + length
        return True

    def note_since(self, now_ms: int) -> None:
        """Say, before something is put into an empty ring, since when it waits."""
        if self.empty:
            self._words[_SINCE] = now_ms

    def start(self, header: SegmentHeader) -> bool:
        """Start a segment with its header; False, and nothing is put, where there is no room."""
        data = header.pack()
        if not self.fits(len(data)):
            return False
        words, started = self._words, self._words[_STARTED]
        at = _FIRST_MARK + _MARK_WORDS * (started % MARKS)
        words[at], words[at + 1], words[at + 2] = words[_PUT], header.first_seq, check_of(header)
        words[_STARTED] = started + 1
        return self.put(data)

    def waiting(self) -> list[Piece]:
        """What is to be taken, by segment, in order; whatever is put meanwhile is for next time."""
        words = self._words
        at, end, started = words[_TAKEN], words[_PUT], words[_STARTED]  # in this order
        found: list[Piece] = []
        # From the newest back to the one that is being written to.
        for number in range(started - 1, max(started - MARKS, 0) - 1, -1):
            start, first_seq, check = self._mark(number)
            begin = max(start, at)
            if begin < end:  # else its header was not put before the process was killed
                found.append(
                    Piece(
                        epoch=words[_EPOCH],
                        first_seq=first_seq,
                        check=check,
                        at=begin,
                        length=end - begin,
                        offset=begin - start,
                    )
                )
                end = begin
            if start <= at:
                break
        return found[::-1]

    def views(self, at: int, length: int) -> Sequence[memoryview]:
        """The bytes from a position on, where they lie: two parts where they go round the end."""
        start = at % self._size
        if start + length <= self._size:
            return (self._room[start : start + length],)
        return self._room[start:], self._room[: start + length - self._size]

    def take(self, upto: int) -> None:
        """Give the room before a position free: its bytes are in the files."""
        self._words[_TAKEN] = upto

    def taken_up_to(self, now_ms: int) -> None:
        """Say that all that was put before a time, ms since the epoch, was taken."""
        self._words[_UP_TO] = now_ms

    def release(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._room.release()

    def _mark(self, number: int) -> tuple[int, int, int]:
        at = _FIRST_MARK + _MARK_WORDS * (number % MARKS)
        start, first_seq, check = self._words[at : at + _MARK_WORDS]
        return start, first_seq, check


def check_of(header: SegmentHeader) -> int:
    """Tells a segment from any other of its name: the first 8 bytes of its header's hash."""
    return int.from_bytes(header.head[:8], "little")


def _fault(memory: memoryview, owner: Path) -> str | None:
    """Why memory is no ring of an owner's; None where it is."""
    if len(memory) <= OVERHEAD_BYTES:
        return "not a ring of this format"
    with memory[:_OWNER_AT].cast("Q") as words:
        if words[_FORMAT] != _MAGIC or words[_ROOM] != len(memory) - OVERHEAD_BYTES:
            return "not a ring of this format"
        taken = words[_TAKEN]  # first, since a reader's look may be overtaken
        if taken > words[_PUT]:
            return "the ring's positions are none"
    if bytes(memory[_OWNER_AT:OVERHEAD_BYTES]) != _packed(owner):
        return "the ring is another writer's"
    return None


def _packed(owner: Path) -> bytes:
    path = os.fsencode(owner)
    if len(path) >= _OWNER_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return path.ljust(_OWNER_BYTES_MAX, b"\0")
