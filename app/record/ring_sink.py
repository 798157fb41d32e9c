"""A journal's bytes into a ring in shared memory: an append waits for no disk.

The writer's thread alone touches files: it writes what waits, in one call a segment, and brings
it to disk. The ring outlives a process that is killed; whoever opens the slot next brings in what
is left.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from pathlib import Path

from app.record.frames import HEADER_BYTES, SegmentHeader, segment_name
from app.record.group_sync import GroupSync
from app.record.retention import DiskShare
from app.record.ring_file import RingFile
from app.record.ring_writer import RingWriter

__all__ = ["RingSink"]

SEAL_BYTES_MAX = 1_024


class RingSink:
    """Puts into the ring; its thread does the rest. Implements `Sink`."""

    def __init__(
        self, slot: Path, file: RingFile, first: SegmentHeader, *, delay_s: float, share: DiskShare
    ) -> None:
        """Begin the first segment; it is written when this returns.

        Args:
            slot: the writer's folder.
            file: the writer's new ring; the sink's from now on.
            first: the segment's header.
            delay_s: how long a record may wait until it is written, and brought to disk.
            share: of the disk.

        Raises:
            OSError: it cannot be written.
        """
        self._file = file
        self._ring = file.ring
        self._writer = RingWriter(slot, self._ring)
        try:
            self._start(first)
            self._writer.write()
        except OSError:
            self._writer.close()
            file.remove()
            (slot / segment_name(first.epoch, first.first_seq)).unlink(missing_ok=True)
            raise
        self._sync = GroupSync(self._writer.bring, delay_s=delay_s, share=share)
        self._sync.dirty()

    @property
    def windows_ms(self) -> Sequence[float]:
        """As `Sink`."""
        return self._sync.windows_ms

    def put(self, data: bytes) -> None:
        """As `Sink`; never waits, neither for the disk nor for room."""
        self._refuse_if_failed()
        if self._ring.empty:
            self._ring.note_since(_now_ms())
        if not self._ring.put(data):
            raise _full()
        self._sync.dirty()

    def ready(self, name: str) -> None:  # noqa: ARG002 - the header will tell
        """As `Sink`: room is all that it takes."""
        self._refuse_if_failed()
        if not self._ring.fits(SEAL_BYTES_MAX + HEADER_BYTES):
            raise _full()

    def unready(self) -> None:
        """As `Sink`; nothing was made."""

    def begin(self, header: SegmentHeader) -> None:
        """As `Sink`."""
        self._start(header)
        self._sync.dirty()

    def close(self) -> None:
        """As `Sink`. What cannot be written stays in the ring, for whoever opens the slot next."""
        if not self._sync.close():
            raise TimeoutError(errno.ETIMEDOUT, "the disk stands still; the ring is kept")
        done = self._ring.empty
        try:
            self._writer.close()
        finally:
            if done:
                self._file.remove()
            else:
                self._file.close()
        if not done:
            raise OSError(errno.EIO, "not everything could be written; the ring is kept")

    def _start(self, header: SegmentHeader) -> None:
        if not self._ring.start(header):
            raise _full()

    def _refuse_if_failed(self) -> None:
        failed = self._sync.failed
        if failed is not None:
            raise OSError(failed.errno, failed.strerror)


def _full() -> OSError:
    return OSError(errno.ENOBUFS, "the ring is full, since the disk stands still")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
