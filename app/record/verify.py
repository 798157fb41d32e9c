"""Verification: finds any edit, cut, reorder or gap in a region's journals.

What holds what:

- an edit, a record left out, moved or doubled: the chain within the segment;
- a segment left out, moved, or of another writer, epoch or region: its header, which names them
  and the head that came before, and the seal;
- a chain computed anew: the seals, which need the key, and the anchors, which are elsewhere;
- a cut tail, whole segments included: the anchors.

What is no finding:

- The newest segment of a writer may be open (no seal yet), and end within a record: that is what
  a writer, or one that died, leaves. Nothing hides in that torn tail: it is shorter than one
  record, nobody was answered for it, and whatever stood there before the newest anchor is missed
  by the anchor. What lies beyond the newest anchor, a second's worth, is counted as not yet
  anchored: whether more stood there no one can say.
- A newest file shorter than a header is a segment being started.
- A segment that was removed to make room left its header and its seal, which are checked.
- A gap (decisions answered while the journal took nothing) is written into the chain, and told.

Reading is in an order that makes a journal in use look no different from one at rest: anchors
first, then names, then stubs of removed segments, then contents.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.record.anchor import FolderAnchors
from app.record.anchor_walk import AnchorWalk
from app.record.frames import (
    GENESIS,
    HEADER_BYTES,
    BrokenChain,
    Kind,
    Record,
    SegmentHeader,
    payload_of,
    records,
    segment_name,
    segments_of,
)
from app.record.gap import decode_gap
from app.record.report import Report, Tally
from app.record.retention import Stub, stubs_of
from app.record.seal import decode_seal, encode_seal
from app.record.signing import Keyring

__all__ = ["verify"]

SLOTS = "[0-9]" * 5


def verify(folder: Path, keyring: Keyring, anchors: FolderAnchors, *, region: int) -> Report:
    """Verify every journal of a region; one segment at a time in memory.

    Args:
        folder: the region's journals, one folder a writer.
        keyring: the keys that may seal.
        anchors: of the region's heads.
        region: its number.
    """
    tally = Tally()
    slots = {slot.name for slot in folder.glob(SLOTS)}
    slots |= {f"{writer:05d}" for writer in anchors.writers()}
    for name in sorted(slots):
        tally.writers += 1
        walk = AnchorWalk(anchors.of(int(name)), region=region, slot=name, tally=tally)
        _WriterCheck(folder / name, region=region, keyring=keyring, walk=walk, tally=tally).run()
    return tally.report()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """How far a segment was read.

    Attributes:
        head: of the chain.
        seq: of the last record.
        end: offset behind it.
        sealed: whether it is a seal.
    """

    head: bytes
    seq: int
    end: int = HEADER_BYTES
    sealed: bool = False


class _WriterCheck:
    """Follows one writer's chain from its first record to its newest."""

    def __init__(
        self, slot: Path, *, region: int, keyring: Keyring, walk: AnchorWalk, tally: Tally
    ) -> None:
        self._slot, self._region, self._keyring = slot, region, keyring
        self._walk, self._tally = walk, tally
        self._head: bytes | None = GENESIS  # None behind damage: what follows starts afresh
        self._epoch, self._seq = 0, 0
        self._open: str | None = None  # the segment before, if it has no seal

    def run(self) -> None:
        """Check everything that is there, and that nothing anchored is missing."""
        names = _names(self._slot)
        for name in sorted({*names, *self._stubs()}):
            if name in names:
                self._segment(name, newest=name == names[-1])
            else:
                self._stub(name)
        if self._head is not None:  # else damage was told, and anchors within it are not judged
            self._walk.finish()

    def _segment(self, name: str, *, newest: bool) -> None:
        try:
            data = (self._slot / name).read_bytes()
        except FileNotFoundError:  # removed since it was listed: then its stub is there
            self._stub(name)
            return
        try:
            header = SegmentHeader.unpack(data)
            self._follows(name, header)
            place = _Place(head=header.head, seq=header.first_seq - 1)
            for record in records(data[HEADER_BYTES:], header):
                place = self._record(name, header, place, record)
        except BrokenChain as error:
            self._damaged(name, str(error))
            return
        self._tally.segments += 1
        self._tail(name, place, torn=len(data) - place.end, newest=newest)
        self._reached(name, header, place)

    def _record(self, name: str, header: SegmentHeader, place: _Place, record: Record) -> _Place:
        seq = record.id.seq
        if place.sealed:
            self._find(name, "a record stands behind the seal", seq)
        if seq != place.seq + 1:
            self._find(name, f"a record follows on seq {place.seq}", seq)
        if record.kind is Kind.SEAL:
            if fault := self._seal_fault(record.payload, header, place):
                self._find(name, fault, seq)
        elif record.kind is Kind.GAP:
            self._gap(name, record)
        self._tally.records += 1
        self._walk.passed((header.epoch, seq, False), record.head)
        return _Place(head=record.head, seq=seq, end=record.end, sealed=record.kind is Kind.SEAL)

    def _tail(self, name: str, place: _Place, *, torn: int, newest: bool) -> None:
        if torn and (place.sealed or not newest):
            self._find(name, f"{torn} bytes stand behind the last record", place.seq)
        elif torn:
            self._note(name, f"{torn} bytes of an unfinished record", place.seq)
        if newest and not place.sealed:
            self._note(name, "open: not sealed yet", place.seq)

    def _stub(self, name: str) -> None:
        """Check what stayed of a removed segment."""
        stub = self._stubs().get(name)
        if stub is None:
            self._damaged(name, "the segment was removed without a stub")
            return
        try:
            header = SegmentHeader.unpack(stub.header)
            self._follows(name, header)
            seal = decode_seal(payload_of(stub.seal))
            place = _Place(head=seal.head, seq=seal.last_seq)
            (record,) = records(stub.seal, header, offset=place.end, head=place.head)
        except (BrokenChain, msgspec.MsgspecError, ValueError):
            self._damaged(name, "the stub of the removed segment does not read as written")
            return
        self._tally.removed += 1
        if seal.records:
            self._walk.skip((header.epoch, seal.last_seq, False))
            self._walk.passed((header.epoch, seal.last_seq, False), seal.head)
        self._walk.passed((header.epoch, record.id.seq, False), record.head)
        if fault := self._seal_fault(record.payload, header, place):
            self._find(name, fault, record.id.seq)
        self._reached(name, header, _Place(head=record.head, seq=record.id.seq, sealed=True))

    def _seal_fault(self, payload: bytes, header: SegmentHeader, place: _Place) -> str | None:
        try:
            seal = decode_seal(payload)
        except msgspec.MsgspecError:
            return "the seal does not read as one"
        if encode_seal(seal) != payload:
            return "the seal holds more than was signed"
        return seal.fault(header, last_seq=place.seq, head=place.head, keyring=self._keyring)

    def _follows(self, name: str, header: SegmentHeader) -> None:
        """Check that a segment is the next one of this chain."""
        whose = (header.region, header.writer, segment_name(header.epoch, header.first_seq))
        if whose != (self._region, int(self._slot.name), name):
            self._find(name, "the segment belongs to another place", header.first_seq)
        if self._open is not None:
            self._find(self._open, "the segment is not sealed, and not the newest", self._seq)
        opened = header.epoch, header.first_seq - 1, True
        if self._head is None:
            self._walk.skip(opened)
        self._walk.opened(opened, header.head)
        if self._head is None:
            return
        expected = self._seq + 1 if header.epoch == self._epoch else 1
        if header.previous != self._head or header.first_seq != expected:
            self._find(name, "the segment does not follow on the one before", header.first_seq)

    def _reached(self, name: str, header: SegmentHeader, place: _Place) -> None:
        self._epoch, self._seq, self._head = header.epoch, place.seq, place.head
        self._open = None if place.sealed else name

    def _damaged(self, name: str, what: str) -> None:
        self._find(name, what)
        self._head = self._open = None

    def _gap(self, name: str, record: Record) -> None:
        try:
            gap = decode_gap(record.payload)
        except msgspec.MsgspecError:
            self._find(name, "the gap does not read as one", record.id.seq)
            return
        self._tally.missed += gap.missed
        self._note(
            name,
            f"{gap.missed} decisions have no record, {gap.since_ms} to {gap.until_ms} ms",
            record.id.seq,
        )

    def _stubs(self) -> dict[str, Stub]:
        try:
            return stubs_of(self._slot)
        except msgspec.MsgspecError:
            self._find("", "the stubs of removed segments cannot be read")
            return {}

    def _find(self, name: str, what: str, seq: int | None = None) -> None:
        self._tally.find(f"{self._slot.name}/{name}", what, seq)

    def _note(self, name: str, what: str, seq: int) -> None:
        self._tally.note(f"{self._slot.name}/{name}", what, seq)


def _names(slot: Path) -> list[str]:
    """A writer's segments that have a header, oldest first.

    A folder that is being written to may be listed with a newer name and without an older one.
    Names are made in order, so up to the newest of a first listing the second one is complete.
    """
    newest = max((path.name for path in segments_of(slot)), default="")
    names = [path.name for path in segments_of(slot) if path.name <= newest]
    try:
        if names and (slot / names[-1]).stat().st_size < HEADER_BYTES:
            names.pop()  # being started, or torn within its header
    except FileNotFoundError:  # put aside by who opened the slot meanwhile
        names.pop()
    return names
