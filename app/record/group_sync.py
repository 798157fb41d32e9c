"""Brings appended records to disk in groups, from a thread of its own."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from app.record.retention import DiskShare

__all__ = ["GroupSync", "sync_folder"]

SHARE_S = 1.0
RETRY_S = 0.1
STOP_S = 5.0
# While appends come closer together than this, none of them has to wake the thread: a wake-up takes
# the processor from the one who appends.
AWAKE_S = 0.5
WINDOWS_KEPT = 10_000

log = logging.getLogger(__name__)


class GroupSync:
    """The thread of one writer; looks at the disk's share once a second and at rotation.

    Attributes:
        windows_ms: of the latest groups, from the first append to the end of their fsync: what a
            host that is lost takes with it.
        failed: why the latest group could not be brought to disk; None where it was. It is tried
            again until it can.
    """

    def __init__(self, bring: Callable[[], bool], *, delay_s: float, share: DiskShare) -> None:
        """Start the thread.

        Args:
            bring: brings everything appended to disk; returns whether a segment was started.
                OSError where it cannot; it is then called again.
            delay_s: how long a record may wait for others to share its fsync.
            share: of the disk that all writers of the region take.
        """
        self.windows_ms: deque[float] = deque(maxlen=WINDOWS_KEPT)
        self.failed: OSError | None = None
        self._bring = bring
        self._delay_s = delay_s
        self._share = share
        self._share_at_s = time.monotonic() + SHARE_S
        self._condition = threading.Condition()
        self._dirty_since_s: float | None = None
        self._asleep = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-fsync", daemon=True)
        self._thread.start()

    def dirty(self) -> None:
        """There is something to bring to disk."""
        if self._dirty_since_s is None:  # else it is known
            self._dirty_since_s = time.monotonic()
            if self._asleep:
                with self._condition:
                    self._condition.notify()

    def close(self) -> bool:
        """Finish what is under way; returns whether it could be within some seconds."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout=STOP_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        idle_s = 0.0
        while True:
            since_s = self._dirty_since_s
            if since_s is not None:
                idle_s = 0.0
                time.sleep(self._delay_s if self.failed is None else RETRY_S)
                # Before anything is looked at: what is appended from now on is a group of its own.
                self._dirty_since_s = None
                self._bring_to_disk(since_s)
                if self.failed is not None and self._closing:
                    break
            elif self._closing:
                break
            elif self._delay_s and idle_s < AWAKE_S:
                time.sleep(self._delay_s)
                idle_s += self._delay_s
            else:
                self._wait()
            if time.monotonic() >= self._share_at_s:
                self._look_at_share()

    def _wait(self) -> None:
        """Sleep until something is appended, or it is time to look at the share."""
        with self._condition:
            self._asleep = True  # before the look: who appends after it sees this
            if self._dirty_since_s is None and not self._closing:
                self._condition.wait(SHARE_S)
            self._asleep = False

    def _bring_to_disk(self, since_s: float) -> None:
        try:
            if self._bring():
                self._share_at_s = 0.0
        except OSError as error:
            self._fail(error, since_s)
        except Exception as error:
            log.exception("the journal cannot be written")
            self._fail(OSError(errno.EIO, str(error)), since_s)
        else:
            self.failed = None
            self.windows_ms.append((time.monotonic() - since_s) * 1_000)

    def _fail(self, error: OSError, since_s: float) -> None:
        if self.failed is None:  # said once, not ten times a second
            log.error("the journal cannot be written: %s; tried again", error)
        # A new one: that one's traceback would keep all that the call had in hand.
        self.failed = OSError(error.errno, error.strerror)
        self._dirty_since_s = since_s

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
