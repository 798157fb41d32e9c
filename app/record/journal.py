"""The journal: append, then answer.

One writer, one folder, one process. A record is in the kernel's hands when `append` returns, so
a killed process loses no answered decision; a lost host loses what was not yet fsynced, at most
`fsync_ms` and the duration of one fsync. Records are chained (see `app.record.frames`).

Opening takes the first free writer slot, starts a new epoch and repairs a torn tail: an
incomplete or unfinished last record of the epoch before, which no one was answered for.
"""

from __future__ import annotations

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
        self._sync = _GroupSync(fsync_ms / 1_000)

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
            self._write(data)
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
        os.fsync(self._fd)
        os.close(self._fd)
        os.close(self._lock)

    def _write(self, data: bytes) -> None:
        written = os.write(self._fd, data)
        if written != len(data):  # a full disk takes a part: take it back, or the tail is torn
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            raise OSError(28, "no space left on device")

    def _rotate(self) -> None:
        full, self._fd = self._fd, -1
        try:
            self._start_segment()
        except OSError:  # keep writing to the full segment rather than losing a record
            log.exception("a new journal segment could not be started")
            self._fd = full
            return
        self._sync.retire(full)

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
            os.write(fd, header.pack())
            os.fsync(fd)
            _sync_folder(self._folder)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._fd, self._size, self._head = fd, HEADER_BYTES, header.head


class _GroupSync:
    """Brings appended records to disk in groups, from a thread of its own."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._condition = threading.Condition()
        self._dirty: int | None = None
        self._retired: list[int] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-fsync", daemon=True)
        self._thread.start()

    def dirty(self, fd: int) -> None:
        """There is something to bring to disk."""
        if self._dirty is None:
            with self._condition:
                self._dirty = fd
                self._condition.notify()

    def retire(self, fd: int) -> None:
        """Bring a full segment to disk and close it."""
        with self._condition:
            self._retired.append(fd)
            self._dirty = None
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
                while self._dirty is None and not self._retired and not self._closing:
                    self._condition.wait()
                if self._closing and self._dirty is None and not self._retired:
                    return
            time.sleep(self._delay_s)
            with self._condition:
                fd, self._dirty = self._dirty, None
                retired, self._retired = self._retired, []
            for full in retired:
                _fsync(full)
                os.close(full)
            if fd is not None and fd not in retired:
                _fsync(fd)


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
            slot.mkdir(parents=True, exist_ok=True)
            lock = os.open(slot / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise JournalUnavailable(f"{slot} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        head = _repair(slot)
        return Journal(
            slot,
            region=region,
            writer=writer,
            epoch=_next_epoch(slot),
            head=head,
            lock=lock,
            fsync_ms=fsync_ms,
            segment_bytes=segment_bytes,
        )
    raise JournalUnavailable(f"all {WRITERS_MAX} writer slots of {folder} are taken")


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
    """Cut a torn tail off the last segment; return the chain's head."""
    segments = segments_of(slot)
    if not segments:
        return GENESIS
    last = segments[-1]
    data = last.read_bytes()
    try:
        header = SegmentHeader.unpack(data)
    except BrokenChain:
        last.rename(last.with_suffix(".torn"))  # never held a record
        return _repair(slot)
    end, head = HEADER_BYTES, header.head
    try:
        for record in records(data[HEADER_BYTES:], header):
            end, head = record.end, record.head
    except BrokenChain as error:
        log.error("%s: %s; kept as it is, the chain goes on in a new segment", last, error)  # noqa: TRY400
        return head
    if end < len(data):
        log.warning("%s: torn tail of %d bytes cut off", last, len(data) - end)
        os.truncate(last, end)
    return head


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
