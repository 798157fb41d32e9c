"""Brings appended records to disk in groups, from a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

from app.record.retention import DiskShare

__all__ = ["GroupSync", "sync_folder"]

SHARE_S = 1.0
WINDOWS_KEPT = 10_000

log = logging.getLogger(__name__)


class GroupSync:
    """The fsync thread of one writer; looks at the disk's share once a second and at rotation.

    Attributes:
        windows_ms: of the latest groups, from the first append to the end of their fsync: what a
            host that is lost takes with it.
    """

    def __init__(self, folder: Path, *, delay_s: float, share: DiskShare) -> None:
        """Start the thread.

        Args:
            folder: of the writer.
            delay_s: how long a record may wait for others to share its fsync.
            share: of the disk that all writers of the region take.
        """
        self._delay_s = delay_s
        self._share = share
        self._share_at_s = time.monotonic() + SHARE_S
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._condition = threading.Condition()
        self.windows_ms: deque[float] = deque(maxlen=WINDOWS_KEPT)
        self._dirty: int | None = None
        self._dirty_since_s = 0.0
        self._retired: list[int] = []
        self._new_names = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-fsync", daemon=True)
        self._thread.start()

    def dirty(self, fd: int) -> None:
        """There is something to bring to disk."""
        if self._dirty is None:
            with self._condition:
                self._dirty, self._dirty_since_s = fd, time.monotonic()
                self._condition.notify()

    def started(self, fd: int, full: int | None = None) -> None:
        """A segment was started; the full one before it is brought to disk and closed."""
        with self._condition:
            if full is not None:
                self._retired.append(full)
            if self._dirty is None:
                self._dirty_since_s = time.monotonic()
            self._dirty, self._new_names = fd, True
            self._condition.notify()

    def close(self) -> None:
        """Finish what is under way."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._dirty is None and not self._closing:
                    self._condition.wait(SHARE_S)
                if self._dirty is None and self._closing:
                    break
            if self._dirty is not None:
                time.sleep(self._delay_s)
                self._bring_to_disk()
            if time.monotonic() >= self._share_at_s:
                self._look_at_share()
        os.close(self._folder)

    def _bring_to_disk(self) -> None:
        with self._condition:
            fd, self._dirty, since_s = self._dirty, None, self._dirty_since_s
            retired, self._retired = self._retired, []
            new_names, self._new_names = self._new_names, False
        for full in retired:
            _fsync(full)
            os.close(full)
        if new_names:
            _fsync(self._folder)
            self._share_at_s = 0.0
        if fd is not None:
            _fsync(fd)
            self.windows_ms.append((time.monotonic() - since_s) * 1_000)

    def _look_at_share(self) -> None:
        try:
            self._share.refresh()
        except OSError:
            log.exception("the journal's share of the disk cannot be looked at")
        self._share_at_s = time.monotonic() + SHARE_S


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _fsync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError:
        log.exception("fsync of the journal failed")
