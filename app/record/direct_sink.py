"""A journal's bytes straight into its files: in the kernel's hands when an append returns.

An append then waits with the disk where the file system makes writers wait for an fsync.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from app.record.frames import HEADER_BYTES, SegmentHeader, segment_name
from app.record.group_sync import GroupSync
from app.record.retention import DiskShare
from app.record.segment_files import SegmentFiles

__all__ = ["DirectSink"]


class DirectSink:
    """Writes at once; the thread does the fsync. Implements `Sink`."""

    def __init__(
        self, slot: Path, first: SegmentHeader, *, delay_s: float, share: DiskShare
    ) -> None:
        """Begin the first segment.

        Args:
            slot: the writer's folder.
            first: its header.
            delay_s: how long a record may wait for its fsync.
            share: of the disk.

        Raises:
            OSError: it cannot be written; nothing of it stays.
        """
        self._slot = slot
        self._fresh: tuple[Path, int] | None = None
        path, self._fd = self._create(segment_name(first.epoch, first.first_seq))
        self._end = HEADER_BYTES
        try:
            _write(self._fd, first.pack(), 0)
        except OSError:
            _discard(path, self._fd)
            raise
        self._files = SegmentFiles(slot)
        self._files.turn_to(self._fd)
        self._sync = GroupSync(self._files.sync, delay_s=delay_s, share=share)
        self._sync.dirty()

    @property
    def windows_ms(self) -> Sequence[float]:
        """As `Sink`."""
        return self._sync.windows_ms

    def put(self, data: bytes) -> None:
        """As `Sink`."""
        _write(self._fd, data, self._end)
        self._end += len(data)
        self._sync.dirty()

    def ready(self, name: str) -> None:
        """Make the file, empty: that is no segment to any reader, and put aside after a crash."""
        self._fresh = self._create(name)

    def unready(self) -> None:
        """As `Sink`."""
        if self._fresh is not None:
            _discard(*self._fresh)
            self._fresh = None

    def begin(self, header: SegmentHeader) -> None:
        """As `Sink`."""
        if self._fresh is not None:
            _, self._fd = self._fresh
            self._fresh, self._end = None, 0
            self._files.turn_to(self._fd)
            self._sync.dirty()
        _write(self._fd, header.pack(), 0)
        self._end = HEADER_BYTES

    def close(self) -> None:
        """As `Sink`."""
        if not self._sync.close():
            raise TimeoutError(errno.ETIMEDOUT, "the disk stands still")
        self._files.close()

    def _create(self, name: str) -> tuple[Path, int]:
        path = self._slot / name
        return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)


def _discard(path: Path, fd: int) -> None:
    os.close(fd)
    path.unlink(missing_ok=True)


def _write(fd: int, data: bytes, offset: int) -> None:
    """Write all of it or nothing: a full disk takes a part, which is taken back.

    At an offset, so that whatever a failed write left behind, the next one goes over it.
    """
    if os.pwrite(fd, data, offset) != len(data):
        os.ftruncate(fd, offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
