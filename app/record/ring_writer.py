"""From a ring into segment files: while a journal is open, and once more after its process died."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from app.record.frames import HEADER_BYTES, BrokenChain, SegmentHeader
from app.record.ring import ForeignRing, Piece, Ring, check_of
from app.record.segment_files import SegmentFiles

__all__ = ["RingWriter"]


class RingWriter:
    """Brings what waits in a ring into the segments of its slot. For one thread."""

    def __init__(self, slot: Path, ring: Ring) -> None:
        """Have the slot's folder open.

        Args:
            slot: the writer's folder.
            ring: its ring.
        """
        self._slot = slot
        self._ring = ring
        self._files = SegmentFiles(slot)
        self._name = ""
        self._fd = -1

    def bring(self) -> bool:
        """Write what waits and bring it to disk; returns whether a segment was started.

        Raises:
            OSError: not all of it is written; it still waits.
            ForeignRing: the segments are not those that the ring was filled for.
        """
        self.write()
        return self._files.sync()

    def write(self) -> None:
        """Write what waits. As `bring`, without bringing it to disk."""
        now_ms = _now_ms()
        for piece in self._ring.waiting():
            if piece.name != self._name:
                self._turn_to(piece)
            at, offset, end = piece.at, piece.offset, piece.at + piece.length
            while at < end:
                written = self._put(at, end, offset)
                at, offset = at + written, offset + written
                # After the write. A process that is killed in between has it written again, the
                # same bytes to the same place.
                self._ring.take(at)
        self._ring.taken_up_to(now_ms)

    def close(self) -> None:
        """Bring what is written to disk, and close all files.

        Raises:
            OSError: it could not be.
        """
        self._files.close()

    def _put(self, at: int, end: int, offset: int) -> int:
        """Write; a disk that fills up takes a part, and says why with the next call."""
        views = self._ring.views(at, end - at)
        try:
            written = os.pwritev(self._fd, views, offset)
        finally:
            for view in views:  # an error that is kept would keep them, and with them the memory
                view.release()
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    def _turn_to(self, piece: Piece) -> None:
        path = self._slot / piece.name
        # Without O_EXCL: made by a process that was killed before it wrote.
        flags = os.O_RDWR | os.O_CLOEXEC | (0 if piece.offset else os.O_CREAT)
        try:
            fd = os.open(path, flags, 0o640)
        except FileNotFoundError:
            raise ForeignRing(f"{path} is not there any more") from None
        if piece.offset and not _goes_on(fd, piece):
            os.close(fd)
            raise ForeignRing(f"{path} is not as the ring has it")
        self._name, self._fd = piece.name, fd
        self._files.turn_to(fd)


def _goes_on(fd: int, piece: Piece) -> bool:
    """Whether the file has what was taken out of the ring before the piece: never a hole."""
    if os.fstat(fd).st_size < piece.offset:
        return False
    if piece.offset < HEADER_BYTES:  # a disk that filled up took a part of it
        return True
    try:
        header = SegmentHeader.unpack(os.pread(fd, HEADER_BYTES, 0))
    except BrokenChain:
        return False
    return check_of(header) == piece.check


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
