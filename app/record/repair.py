"""What opening a writer slot finds of the process before, and puts in order."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from app.record.frames import (
    GENESIS,
    HEADER_BYTES,
    BrokenChain,
    Kind,
    SegmentHeader,
    records,
    segments_of,
)
from app.record.group_sync import sync_folder
from app.record.ring import ForeignRing
from app.record.ring_file import RingFile, forget_ring, ring_of
from app.record.ring_writer import RingWriter
from app.record.seal import seal_record
from app.record.signing import Signer

__all__ = ["bring_in", "next_epoch", "repair"]

log = logging.getLogger(__name__)


def next_epoch(slot: Path) -> int:
    """Count the epoch up, durably, before anything is written under it."""
    epoch = _latest_epoch(slot) + 1
    fresh = slot / "epoch.new"
    with fresh.open("w", encoding="ascii") as file:
        file.write(str(epoch))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(slot / "epoch")
    sync_folder(slot)
    return epoch


def bring_in(slot: Path) -> None:
    """Write what a process that died left in its ring into its segments, and remove the ring.

    Byte for byte what its thread would have written. To be done again after any interruption,
    and before anything else is repaired. A ring of another folder, of another epoch or for other
    segments than are there is not touched, nor are the segments.

    Args:
        slot: the writer's folder, locked.

    Raises:
        OSError: it cannot be written; the ring stays.
    """
    path = ring_of(slot)
    if path is None:
        return
    try:
        _empty(path, slot)
    except FileNotFoundError:  # the host was started anew, or the process died on the way to one
        log.warning("%s: no ring is left of the process before", slot)
    except ForeignRing as error:
        log.error("%s: %s; nothing of %s is used", slot, error, path)  # noqa: TRY400
    forget_ring(slot)


def _empty(path: Path, slot: Path) -> None:
    with RingFile.there(path, slot) as file:
        if file.ring.epoch != _latest_epoch(slot):
            raise ForeignRing(f"the ring is of epoch {file.ring.epoch}")
        writer = RingWriter(slot, file.ring)
        try:
            writer.bring()
        finally:
            writer.close()
    path.unlink()


def _latest_epoch(slot: Path) -> int:
    counter = slot / "epoch"
    known = [int(segment.name[:8]) for segment in segments_of(slot)]
    if counter.exists():
        known.append(int(counter.read_text(encoding="ascii")))
    return max(known, default=0)


def repair(slot: Path, signer: Signer | None) -> bytes:
    """Cut a torn tail off the last segment and seal it; return the chain's head.

    Only what can be the unfinished write of a process that died is cut: the bytes behind the last
    whole record, less than one record. Damage is kept as it is, unsealed, for the audit to find,
    and the chain goes on from the last record that follows.

    Args:
        slot: the writer's folder.
        signer: seals; None to leave the segment open.
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
        return _repair_segment(segment, header, data, signer)
    return GENESIS


def _repair_segment(
    segment: Path, header: SegmentHeader, data: bytes, signer: Signer | None
) -> bytes:
    end, head, seq, sealed = HEADER_BYTES, header.head, header.first_seq - 1, False
    try:
        for record in records(data[HEADER_BYTES:], header):
            end, head, seq = record.end, record.head, record.id.seq
            sealed = record.kind is Kind.SEAL
    except BrokenChain as error:
        log.error("%s: %s; kept as it is", segment, error)  # noqa: TRY400
        return head
    if sealed:
        return head
    if end < len(data):
        log.warning("%s: torn tail of %d bytes cut off", segment, len(data) - end)
        os.truncate(segment, end)
    if signer is None:
        return head
    now_ms = time.time_ns() // 1_000_000
    seal = seal_record(header, last_seq=seq, head=head, signer=signer, written_ms=now_ms)
    with segment.open("ab") as file:
        file.write(seal)
        file.flush()
        os.fsync(file.fileno())
    return seal[-32:]
