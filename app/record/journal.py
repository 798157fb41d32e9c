"""The journal: append, then answer.

One writer, one folder, one process. A killed process loses no record whose `append` returned: it
is in a ring in shared memory, or in the kernel's hands (see `app.record.sink`). A lost host loses
what was not yet fsynced, at most `fsync_ms` and the duration of one fsync. Records are chained (see
`app.record.frames`) and closed segments signed (see `app.record.seal`).

Opening takes the first free writer slot, starts a new epoch and puts in order what the epoch before
left: what is in its ring goes into its segments, a torn tail, of which no one was answered for, is
cut, and its last segment is sealed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from app.ids import WRITERS_OF_HOST, EventId
from app.record.direct_sink import DirectSink
from app.record.frames import HEADER_BYTES, Kind, SegmentHeader, frame, segment_name
from app.record.repair import bring_in, next_epoch, repair
from app.record.retention import DiskShare
from app.record.ring_file import RingFile, RingRoom
from app.record.ring_sink import RingSink
from app.record.seal import seal_record
from app.record.signing import Keyring, Signer
from app.record.sink import Sink
from app.record.slots import bring_in_others, lock_slot

__all__ = ["KEYRING", "Journal", "JournalUnavailable", "open_journal"]

KEYRING = "keyring"  # folder of public keys, beside the writers'

log = logging.getLogger(__name__)


class JournalUnavailable(Exception):  # noqa: N818 - a state, said as one
    """The journal takes no record: the disk is full or failing. Decisions go on; the gap counts."""


class Journal:
    """One writer's append-only journal. For one thread; what it appends to has its own.

    A full segment is closed by a signed seal, and so is the last one when the journal is. The
    signature costs the append that fills a segment 32 to 37 us more: 4 ns a decision.

    Attributes:
        without_ring: why appends wait for the disk although a ring was asked for; None where they
            do not, or none was.
    """

    def __init__(
        self,
        sink: Callable[[SegmentHeader], Sink],
        *,
        region: int,
        writer: int,
        epoch: int,
        head: bytes,
        lock: int,
        segment_bytes: int,
        share: DiskShare,
        signer: Signer | None,
    ) -> None:
        self.region, self.writer, self.epoch = region, writer, epoch
        self.appended = 0
        self.gaps = 0
        self.without_ring: str | None = None
        self._lock = lock
        self._seq = 0
        self._segment_bytes = segment_bytes
        self._share = share
        self._signer = signer
        self._head = head
        self._header = self._next_header()
        self._sink = sink(self._header)
        self._size, self._head = HEADER_BYTES, self._header.head  # of the segment

    @property
    def head(self) -> bytes:
        """The chain's head: the hash of everything written."""
        return self._head

    @property
    def windows_ms(self) -> Sequence[float]:
        """How long the latest groups of records were not on disk yet, milliseconds."""
        return self._sink.windows_ms

    def append(self, kind: Kind, payload: bytes, *, unix_ms: int | None = None) -> EventId:
        """Take one record; it survives this process once this returns.

        Args:
            kind: what the record is about.
            payload: MessagePack.
            unix_ms: when, milliseconds since the epoch; now by default.

        Raises:
            JournalUnavailable: the disk, or the journal's share of it, takes nothing, or the ring
                is full; the record is not in the journal.
        """
        seq = self._seq + 1
        self.append_all(kind, [payload], unix_ms=unix_ms)
        return EventId(self.region, self.writer, self.epoch, seq)

    def append_all(
        self, kind: Kind, payloads: Sequence[bytes], *, unix_ms: int | None = None
    ) -> None:
        """As `append`, for several at once: all of them are in the journal, or none is."""
        if self._share.full:
            self.gaps += len(payloads)
            raise JournalUnavailable("the journal's share of the disk is full")
        written_ms = _now_ms() if unix_ms is None else unix_ms
        try:
            if not self._size:
                self._start_segment()
            self._put(self._frames(kind, payloads, written_ms))
        except OSError as error:
            self.gaps += len(payloads)
            raise JournalUnavailable(f"the journal takes no record: {error.strerror}") from error
        self.appended += len(payloads)
        if self._size >= self._segment_bytes:
            self._rotate()

    def close(self) -> None:
        """Seal the segment, bring everything to disk and give the writer slot back."""
        try:
            self._seal()
        except OSError:
            log.exception("the segment is left open; who takes the slot next will seal it")
        try:
            self._sink.close()
        finally:
            os.close(self._lock)

    def _frames(self, kind: Kind, payloads: Sequence[bytes], written_ms: int) -> list[bytes]:
        frames: list[bytes] = []
        head = self._head
        for seq, payload in enumerate(payloads, self._seq + 1):
            data = frame(kind=kind, seq=seq, written_ms=written_ms, payload=payload, head=head)
            frames.append(data)
            head = data[-32:]
        return frames

    def _put(self, frames: Sequence[bytes]) -> None:
        data = b"".join(frames)
        self._sink.put(data)
        self._seq += len(frames)
        self._head = data[-32:]
        self._size += len(data)

    def _rotate(self) -> None:
        """Go on in a new segment, or in the full one rather than losing a record.

        The new one is made ready before the seal is put: without a segment to go on in, there must
        be no seal.
        """
        first_seq = self._seq + (1 if self._signer is None else 2)
        try:
            self._sink.ready(segment_name(self.epoch, first_seq))
        except OSError:
            log.exception("a new journal segment could not be started")
            return
        try:
            self._seal()
        except OSError:
            log.exception("the full journal segment could not be sealed")
            self._sink.unready()
            return
        self._size = 0
        with contextlib.suppress(OSError):  # the next append tries again, and says so
            self._start_segment()

    def _seal(self) -> None:
        if self._signer is not None and self._size:
            seal = seal_record(
                self._header,
                last_seq=self._seq,
                head=self._head,
                signer=self._signer,
                written_ms=_now_ms(),
            )
            self._put([seal])

    def _start_segment(self) -> None:
        self._header = self._next_header()
        self._sink.begin(self._header)
        self._size, self._head = HEADER_BYTES, self._header.head

    def _next_header(self) -> SegmentHeader:
        return SegmentHeader(
            region=self.region,
            writer=self.writer,
            epoch=self.epoch,
            first_seq=self._seq + 1,
            opened_ms=_now_ms(),
            previous=self._head,
        )


def open_journal(
    folder: Path,
    *,
    region: int,
    host: int = 0,
    signer: Signer | None = None,
    fsync_ms: int = 10,
    segment_bytes: int = 16 * 2**20,
    bytes_max: int = 4 * 2**30,
    ring: RingRoom | None = None,
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
        ring: where appends go first, so that none waits for the disk; None to write files at once.
            Where no such memory can be had they are written at once, too, and the journal says so.

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
            lock = lock_slot(slot)
            if lock is None:
                continue
            try:
                bring_in(slot)
                head, epoch = repair(slot, signer), next_epoch(slot)
                file, why = _ring(slot, ring, epoch)
                way = partial(DirectSink, slot) if file is None else partial(RingSink, slot, file)
                journal = Journal(
                    partial(way, delay_s=fsync_ms / 1_000, share=share),
                    region=region,
                    writer=writer,
                    head=head,
                    epoch=epoch,
                    lock=lock,
                    segment_bytes=segment_bytes,
                    share=share,
                    signer=signer,
                )
            except BaseException:
                os.close(lock)
                raise
        except (OSError, ValueError) as error:
            raise JournalUnavailable(f"{slot} cannot be opened: {error}") from error
        journal.without_ring = why
        bring_in_others(folder)
        return journal
    raise JournalUnavailable(f"all {WRITERS_OF_HOST} writer slots of {folder} are taken")


def _ring(slot: Path, room: RingRoom | None, epoch: int) -> tuple[RingFile | None, str | None]:
    """A new ring; None where none is wanted or to be had, and why."""
    if room is None:
        return None, None
    try:
        return RingFile.made(slot, room, epoch=epoch), None
    except OSError as error:
        log.warning("%s: appends wait for the disk, without a ring: %s", slot, error)
        return None, f"no ring: {error}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
