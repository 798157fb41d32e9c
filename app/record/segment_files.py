"""The segment files of one writer that still have to be brought to disk."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

__all__ = ["SegmentFiles"]

log = logging.getLogger(__name__)


class SegmentFiles:
    """The file that is written to, and full ones before it; one thread may write, another sync."""

    def __init__(self, slot: Path) -> None:
        """Have none yet.

        Args:
            slot: the writer's folder.
        """
        self._folder = os.open(slot, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._current: int | None = None
        self._full: list[int] = []
        self._new_names = False

    def turn_to(self, fd: int) -> None:
        """A segment was started; the full one before it is closed once it is on disk."""
        with self._lock:
            if self._current is not None:
                self._full.append(self._current)
            self._current, self._new_names = fd, True

    def sync(self) -> bool:
        """Bring everything to disk; returns whether a segment was started since the last time."""
        with self._lock:
            full, self._full = self._full, []
            new_names, self._new_names = self._new_names, False
            current = self._current
        for fd in full:
            _fsync(fd)
            os.close(fd)
        if new_names:
            _fsync(self._folder)
        if current is not None:
            _fsync(current)
        return new_names

    def close(self) -> None:
        """Bring everything to disk and close all of it.

        Raises:
            OSError: the current one could not be brought to disk.
        """
        current, self._current = self._current, None
        try:
            self.sync()
            if current is not None:
                os.fsync(current)
        finally:
            if current is not None:
                os.close(current)
            os.close(self._folder)


def _fsync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError:
        log.exception("fsync of the journal failed")
