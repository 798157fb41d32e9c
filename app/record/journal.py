"""The journal: append, then answer.

One writer, one folder, one process. A record is in the kernel's hands when `append` returns, so
a killed process loses no answered decision; a lost host loses what was not yet fsynced, at most
`fsync_ms` and the duration of one fsync. Records are chained (see `app.record.frames`) and closed
segments signed (see `app.record.seal`).

Opening takes the first free writer slot, starts a new epoch and repairs what the epoch before
left: a torn tail, of which no one was answered for, is cut, and its last segment is sealed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from app.ids import WRITERS_OF_HOST, EventId
from app.record.frames import HEADER_BYTES, Kind, SegmentHeader, frame, segment_name
from app.record.group_sync import GroupSync
from app.record.repair import next_epoch, repair
from app.record.retention import DiskShare
from app.record.seal import seal_record
from app.record.signing import Keyring, Signer

__all__ = ["KEYRING", "Journal", "JournalUnavailable", "open_journal"]

KEYRING = "keyring"  # folder of public keys, beside the writers'

log = logging.getLogger(__name__)


class JournalUnavailable(Exception):  # noqa: N818 - a state, said as one
    """The journal takes no record: the disk is full or failing. Decisions go on; the gap counts."""


class Journal:
    """One writer's append-only journal. For one thread; the fsync thread is its own.

    A full segment is closed by a signed seal, and so is the last one when the journal is. The
    signature costs the append that fills a segment 32 to 37 us more: 4 ns a decision.
    """

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
        share: DiskShare,
        signer: Signer | None,
    ) -> None:
        self.region, self.writer, self.epoch = region, writer, epoch
        self.appended = 0
        self.gaps = 0
        self._folder = folder
        self._lock = lock
        self._head = head
        self._seq = 0
        self._size = 0  # of the segment; none until its header is written
        self._segment_bytes = segment_bytes
        self._share = share
        self._signer = signer
        path, self._fd = self._create_segment(first_seq=1)
        try:
            self._start_segment()
        except OSError:
            self._discard(path, self._fd)
            raise
        self._sync = GroupSync(folder, delay_s=fsync_ms / 1_000, share=share)
        self._sync.started(self._fd)

    @property
    def head(self) -> bytes:
        """The chain's head: the hash of everything written."""
        return self._head

    @property
    def windows_ms(self) -> Sequence[float]:
        """How long the latest groups of records were not on disk yet, milliseconds."""
        return self._sync.windows_ms

    def append(self, kind: Kind, payload: bytes, *, unix_ms: int | None = None) -> EventId:
        """Write one record; it survives this process once this returns.

        Args:
            kind: what the record is about.
            payload: MessagePack.
            unix_ms: when, milliseconds since the epoch; now by default.

        Raises:
            JournalUnavailable: the disk, or the journal's share of it, takes nothing; the record
                is not in the journal.
        """
        if self._share.full:
            self.gaps += 1
            raise JournalUnavailable("the journal's share of the disk is full")
        written_ms = _now_ms() if unix_ms is None else unix_ms
        try:
            if not self._size:
                self._start_segment()
            seq, head = self._seq + 1, self._head
            self._put(frame(kind=kind, seq=seq, written_ms=written_ms, payload=payload, head=head))
        except OSError as error:
            self.gaps += 1
            raise JournalUnavailable(f"the journal takes no record: {error.strerror}") from error
        self.appended += 1
        if self._size >= self._segment_bytes:
            self._rotate()
        return EventId(self.region, self.writer, self.epoch, seq)

    def close(self) -> None:
        """Seal the segment, bring everything to disk and give the writer slot back."""
        try:
            self._seal()
        except OSError:
            log.exception("the segment is left open; who takes the slot next will seal it")
        self._sync.close()
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)
            os.close(self._lock)

    def _put(self, data: bytes) -> None:
        _write(self._fd, data, self._size)
        self._seq += 1
        self._head = data[-32:]
        self._size += len(data)
        self._sync.dirty(self._fd)

    def _rotate(self) -> None:
        """Go on in a new segment, or in the full one rather than losing a record.

        The new file is made, empty, before the seal is written: without a file to go on in, there
        must be no seal. An empty file is no segment to any reader, and put aside after a crash.
        """
        try:
            path, fresh = self._create_segment(
                first_seq=self._seq + (1 if self._signer is None else 2)
            )
        except OSError:
            log.exception("a new journal segment could not be started")
            return
        try:
            self._seal()
        except OSError:
            log.exception("the full journal segment could not be sealed")
            self._discard(path, fresh)
            return
        full, self._fd, self._size = self._fd, fresh, 0
        self._sync.started(fresh, full)
        with contextlib.suppress(OSError):  # the next append tries again, and says so
            self._start_segment()

    def _seal(self) -> None:
        if self._signer is not None and self._size:
            self._put(
                seal_record(
                    self._header,
                    last_seq=self._seq,
                    head=self._head,
                    signer=self._signer,
                    written_ms=_now_ms(),
                )
            )

    def _create_segment(self, *, first_seq: int) -> tuple[Path, int]:
        path = self._folder / segment_name(self.epoch, first_seq)
        return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def _start_segment(self) -> None:
        self._header = SegmentHeader(
            region=self.region,
            writer=self.writer,
            epoch=self.epoch,
            first_seq=self._seq + 1,
            opened_ms=_now_ms(),
            previous=self._head,
        )
        _write(self._fd, self._header.pack(), 0)
        self._size, self._head = HEADER_BYTES, self._header.head

    @staticmethod
    def _discard(path: Path, fd: int) -> None:
        os.close(fd)
        path.unlink(missing_ok=True)


def open_journal(
    folder: Path,
    *,
    region: int,
    host: int = 0,
    signer: Signer | None = None,
    fsync_ms: int = 10,
    segment_bytes: int = 16 * 2**20,
    bytes_max: int = 4 * 2**30,
) -> Journal:
    """Open the host's first free writer slot of a region's journal folder under a new epoch.

    Args:
        folder: of the region's journals.
        region: its number.
        host: number of this host in the region: no other host's writers are called the same.
        signer: seals closed segments; its public key is kept in `folder/keyring`. Without one,
            segments stay open and the audit finds them so.
        fsync_ms: how long a record may wait for its fsync.
        segment_bytes: size from which a segment is closed.
        bytes_max: what all journals of the folder may take of the disk.

    Raises:
        JournalUnavailable: no slot is free, the folder cannot be written, or its share is full.
    """
    share = DiskShare(folder, bytes_max=bytes_max)
    try:
        if signer is not None:
            Keyring(folder / KEYRING).add(signer.public_key)
        share.refresh()
    except OSError as error:
        raise JournalUnavailable(f"{folder} cannot be opened: {error}") from error
    if share.full:
        raise JournalUnavailable("the journal's share of the disk is full")
    first = host * WRITERS_OF_HOST
    for writer in range(first, first + WRITERS_OF_HOST):
        slot = folder / f"{writer:05d}"
        try:
            lock = _lock(slot)
            if lock is None:
                continue
            try:
                return Journal(
                    slot,
                    region=region,
                    writer=writer,
                    head=repair(slot, signer),
                    epoch=next_epoch(slot),
                    lock=lock,
                    fsync_ms=fsync_ms,
                    segment_bytes=segment_bytes,
                    share=share,
                    signer=signer,
                )
            except BaseException:
                os.close(lock)
                raise
        except (OSError, ValueError) as error:
            raise JournalUnavailable(f"{slot} cannot be opened: {error}") from error
    raise JournalUnavailable(f"all {WRITERS_OF_HOST} writer slots of {folder} are taken")


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


def _write(fd: int, data: bytes, offset: int) -> None:
    """Write all of it or nothing: a full disk takes a part, which is taken back.

    At an offset, so that whatever a failed write left behind, the next one goes over it.
    """
    if os.pwrite(fd, data, offset) != len(data):
        os.ftruncate(fd, offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
