"""The journal: append, then answer.

One writer, one folder, one process. A record is in the kernel's hands when `append` returns, so
a killed process loses no answered decision; a lost host loses what was not yet fsynced, at most
`fsync_ms` and the duration of one fsync. Records are chained (see `app.record.frames`).

Opening takes the first free writer slot, starts a new epoch and repairs a torn tail: an
incomplete or unfinished last record of the epoch before, which no one was answered for.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from pathlib import Path

from app.ids import EventId
from app.record.frames import (
    GENESIS,
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    frame,
    records,
    segment_name,
    segments_of,
)

__all__ = ["Journal", "JournalUnavailable", "open_journal"]

WRITERS_MAX = 1_024

log = logging.getLogger(__name__)


class JournalUnavailable(Exception):  # noqa: N818 - a state, said as one
    """The journal takes no record: the disk is full or failing. Decisions go on; the gap counts."""


class Journal:
    """One writer's append-only journal. For one thread; the fsync thread is its own."""

    def __init__(
        self,
        folder: Path,
        *,
        region: int,
        writer: int,
        epoch: int,
        head: bytes,
        lock: int,
        fsync_ms: int,
        segment_bytes: int,
    ) -> None:
        self.region, self.writer, self.epoch = region, writer, epoch
        self.appended = 0
        self.gaps = 0
        self._folder = folder
        self._lock = lock
        self._head = head
        self._seq = 0
        self._size = 0
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._start_segment()
        self._sync = _GroupSync(folder, fsync_ms / 1_000)
        self._sync.started(self._fd)

    @property
    def head(self) -> bytes:
        """The chain's head: the hash of everything written."""
        return self._head

    def append(self, kind: Kind, payload: bytes, *, unix_ms: int | None = None) -> EventId:
        """Write one record; it survives this process once this returns.

        Args:
            kind: what the record is about.
            payload: MessagePack.
            unix_ms: when, milliseconds since the epoch; now by default.

        Raises:
            JournalUnavailable: the disk took nothing; the record is not in the journal.
        """
        now_ms = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
        data = frame(
            kind=kind, seq=self._seq + 1, written_ms=now_ms, payload=payload, head=self._head
        )
        try:
            _write(self._fd, data, self._size)
        except OSError as error:
            self.gaps += 1
            raise JournalUnavailable(f"the journal takes no record: {error.strerror}") from error
        self._seq += 1
        self._head = data[-32:]
        self._size += len(data)
        self.appended += 1
        self._sync.dirty(self._fd)
        if self._size >= self._segment_bytes:
            self._rotate()
        return EventId(self.region, self.writer, self.epoch, self._seq)

    def close(self) -> None:
        """Bring everything to disk and give the writer slot back."""
        self._sync.close()
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
            os.close(self._lock)

    def _rotate(self) -> None:
        full = self._fd
        try:
            self._start_segment()
        except OSError:  # keep writing to the full segment rather than losing a record
            log.exception("a new journal segment could not be started")
        else:
            self._sync.started(self._fd, full)

    def _start_segment(self) -> None:
        header = SegmentHeader(
            region=self.region,
            writer=self.writer,
            epoch=self.epoch,
            first_seq=self._seq + 1,
            opened_ms=time.time_ns() // 1_000_000,
            previous=self._head,
        )
        path = self._folder / segment_name(self.epoch, self._seq + 1)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            _write(fd, header.pack(), 0)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._fd, self._size, self._head = fd, HEADER_BYTES, header.head


class _GroupSync:
    """Brings appended records to disk in groups, from a thread of its own."""

    def __init__(self, folder: Path, delay_s: float) -> None:
        self._delay_s = delay_s
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._condition = threading.Condition()
        self._dirty: int | None = None
        self._retired: list[int] = []
        self._new_names = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-fsync", daemon=True)
        self._thread.start()

    def dirty(self, fd: int) -> None:
        """There is something to bring to disk."""
        if self._dirty is None:
            with self._condition:
                self._dirty = fd
                self._condition.notify()

    def started(self, fd: int, full: int | None = None) -> None:
        """A segment was started; the full one before it is brought to disk and closed."""
        with self._condition:
            if full is not None:
                self._retired.append(full)
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
                while self._dirty is None and not self._closing:
                    self._condition.wait()
                if self._dirty is None:
                    break
            time.sleep(self._delay_s)
            with self._condition:
                fd, self._dirty = self._dirty, None
                retired, self._retired = self._retired, []
                new_names, self._new_names = self._new_names, False
            for full in retired:
                _fsync(full)
                os.close(full)
            if new_names:
                _fsync(self._folder)
            _fsync(fd)
        os.close(self._folder)


def open_journal(
    folder: Path, *, region: int, fsync_ms: int = 10, segment_bytes: int = 16 * 2**20
) -> Journal:
    """Open the first free writer slot of a region's journal folder under a new epoch.

    Raises:
        JournalUnavailable: no slot is free, or the folder cannot be written.
    """
    for writer in range(WRITERS_MAX):
        slot = folder / f"{writer:05d}"
        try:
            lock = _lock(slot)
            if lock is None:
                continue
            return _open_slot(
                slot, lock, region=region, fsync_ms=fsync_ms, segment_bytes=segment_bytes
            )
        except (OSError, ValueError) as error:
            raise JournalUnavailable(f"{slot} cannot be opened: {error}") from error
    raise JournalUnavailable(f"all {WRITERS_MAX} writer slots of {folder} are taken")


def _lock(slot: Path) -> int | None:
    """Take the slot for as long as this process lives; None where another has it."""
    slot.mkdir(parents=True, exist_ok=True)
    lock = os.open(slot / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _open_slot(slot: Path, lock: int, *, region: int, fsync_ms: int, segment_bytes: int) -> Journal:
    try:
        return Journal(
            slot,
            region=region,
            writer=int(slot.name),
            head=_repair(slot),
            epoch=_next_epoch(slot),
            lock=lock,
            fsync_ms=fsync_ms,
            segment_bytes=segment_bytes,
        )
    except BaseException:
        os.close(lock)
        raise


def _next_epoch(slot: Path) -> int:
    """Count the epoch up, durably, before anything is written under it."""
    counter = slot / "epoch"
    known = [int(segment.name[:8]) for segment in segments_of(slot)]
    if counter.exists():
        known.append(int(counter.read_text(encoding="ascii")))
    epoch = max(known, default=0) + 1
    fresh = slot / "epoch.new"
    with fresh.open("w", encoding="ascii") as file:
        file.write(str(epoch))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(counter)
    _sync_folder(slot)
    return epoch


def _repair(slot: Path) -> bytes:
    """Cut a torn tail off the last segment; return the chain's head.

    Only what can be the unfinished write of a process that died is cut. Damage is kept as it is,
    for the audit to find, and the chain goes on from the last record that follows.
    """
    for segment in reversed(segments_of(slot)):
        data = segment.read_bytes()
        if len(data) < HEADER_BYTES:
            segment.rename(segment.with_suffix(".torn"))  # never held a record
            continue
        try:
            header = SegmentHeader.unpack(data)
        except BrokenChain as error:
            log.error("%s: %s; kept as it is", segment, error)  # noqa: TRY400
            continue
        end, head = HEADER_BYTES, header.head
        try:
            for record in records(data[HEADER_BYTES:], header):
                end, head = record.end, record.head
        except BrokenChain as error:
            log.error("%s: %s; kept as it is", segment, error)  # noqa: TRY400
            return head
        if end < len(data):
            log.warning("%s: torn tail of %d bytes cut off", segment, len(data) - end)
            os.truncate(segment, end)
        return head
    return GENESIS


def _write(fd: int, data: bytes, offset: int) -> None:
    """Write all of it or nothing: a full disk takes a part, which is taken back.

    At an offset, so that whatever a failed write left behind, the next one goes over it.
    """
    if os.pwrite(fd, data, offset) != len(data):
        os.ftruncate(fd, offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fsync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError:
        log.exception("fsync of the journal failed")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
