"""Anchors: the heads of all chains, written elsewhere every second.

A chain proves its own past, and nothing of what was cut off its end. An anchor does: once a head
stands elsewhere, every record up to it has to be there for ever. What came after the newest
anchor, a second's worth at most, cannot be told from what was never written; that is the bound.

A head is anchored only after an fsync of what led to it. Otherwise a host that loses power could
lose records that an anchor holds, and an accident would look like tampering.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from app.record.frames import HEADER_BYTES, BrokenChain, Record, SegmentHeader, records, segments_of
from app.record.group_sync import sync_folder
from app.record.lines import append_lines, whole_lines

__all__ = ["Anchor", "AnchorSink", "Anchorer", "FolderAnchors", "Position"]

Position = tuple[int, int, bool]  # epoch, seq, and whether a segment was opened behind it

CHUNK_BYTES = 4 * 2**20

log = logging.getLogger(__name__)


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """One writer's head at one moment.

    Attributes:
        region: number.
        writer: slot.
        epoch: of the writer.
        seq: of the newest record.
        opened: whether a segment was opened behind it; the head is then that of its header.
        head: of the chain, hexadecimal.
        at_ms: when it was seen, ms since the epoch.
    """

    region: int
    writer: int
    epoch: int
    seq: int
    opened: bool
    head: str
    at_ms: int

    @property
    def position(self) -> Position:
        """Place in the writer's chain; positions grow along it."""
        return self.epoch, self.seq, self.opened


class AnchorSink(Protocol):
    """Where anchors are kept: outside the reach of whoever can write the journals."""

    def put(self, anchors: Sequence[Anchor]) -> None:
        """Keep the heads of one moment, durably."""
        ...


class FolderAnchors:
    """A file of lines a writer, `<writer>.anchors`. Implements `AnchorSink`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, anchors: Sequence[Anchor]) -> None:
        """Append the heads; about 150 bytes each."""
        ordered = sorted(anchors, key=_writer)  # stable: each writer's stay in order
        for writer, heads in groupby(ordered, key=_writer):
            append_lines(self._path(writer), map(msgspec.json.encode, heads))

    def writers(self) -> set[int]:
        """Slots that were ever anchored."""
        return {int(path.stem) for path in self._folder.glob("[0-9]*.anchors")}

    def of(self, writer: int) -> Iterator[Anchor]:
        """A writer's anchors as of the call, oldest first.

        Raises:
            msgspec.MsgspecError: on the way, at a line that is none.
        """
        lines = whole_lines(self._path(writer))
        return (msgspec.json.decode(line, type=Anchor) for line in lines)

    def _path(self, writer: int) -> Path:
        return self._folder / f"{writer:05d}.anchors"


class Anchorer:
    """Follows every writer of one journal folder and anchors the heads that moved."""

    def __init__(self, folder: Path, sink: AnchorSink, *, now_ms: Callable[[], int]) -> None:
        """Follow a region's journals.

        Args:
            folder: with one folder a writer.
            sink: takes the heads.
            now_ms: wall clock, ms since the epoch.
        """
        self._folder = folder
        self._sink = sink
        self._now_ms = now_ms
        self._tails: dict[str, _HeadTail] = {}
        self._anchored: dict[str, Position] = {}

    def step(self) -> int:
        """Anchor the heads that moved; how many. To be called once a second.

        Raises:
            Exception: as the sink's; the heads are offered again at the next step.
        """
        at_ms = self._now_ms()
        moved: dict[str, Anchor] = {}
        for slot in sorted(self._folder.glob("[0-9]*")):
            anchor = self._tails.setdefault(slot.name, _HeadTail(slot)).read(at_ms)
            if anchor is not None and self._anchored.get(slot.name) != anchor.position:
                moved[slot.name] = anchor
        if moved:
            self._sink.put(list(moved.values()))
            self._anchored |= {slot: anchor.position for slot, anchor in moved.items()}
        return len(moved)


class _HeadTail:
    """Follows the newest segment of one writer."""

    def __init__(self, slot: Path) -> None:
        self._slot = slot
        self._segment: _SegmentHead | None = None

    def read(self, at_ms: int) -> Anchor | None:
        """The writer's head, brought to disk; None without a segment."""
        followed = None if self._segment is None else self._segment.path
        for path in reversed(segments_of(self._slot)):
            if path == followed:
                break
            if (fresh := _SegmentHead.open(path)) is not None:
                self._segment = fresh
                sync_folder(self._slot)
                break
        return None if self._segment is None else self._segment.read(at_ms)


class _SegmentHead:
    """Follows one segment as it grows."""

    def __init__(self, path: Path, header: SegmentHeader) -> None:
        self.path = path
        self._header = header
        self._offset, self._head = HEADER_BYTES, header.head
        self._last: Record | None = None
        self._broken = False

    @classmethod
    def open(cls, path: Path) -> _SegmentHead | None:
        """The segment, if it is one yet."""
        try:
            with path.open("rb") as file:
                return cls(path, SegmentHeader.unpack(file.read(HEADER_BYTES)))
        except (FileNotFoundError, BrokenChain):  # put aside meanwhile, being started, damaged
            return None

    def read(self, at_ms: int) -> Anchor:
        """The head behind the newest whole record, brought to disk."""
        if not self._broken and self.path.exists():
            with self.path.open("rb") as file:
                while self._advance(file):
                    pass
                os.fsync(file.fileno())
        header, last = self._header, self._last
        return Anchor(
            region=header.region,
            writer=header.writer,
            epoch=header.epoch,
            seq=header.first_seq - 1 if last is None else last.id.seq,
            opened=last is None,
            head=self._head.hex(),
            at_ms=at_ms,
        )

    def _advance(self, file: BinaryIO) -> bool:
        """Read a chunk further; whether there was a record in it."""
        start = file.seek(self._offset)
        data = file.read(CHUNK_BYTES)
        try:
            for record in records(data, self._header, offset=start, head=self._head):
                self._last, self._offset, self._head = record, record.end, record.head
        except BrokenChain as error:
            self._broken = True
            log.error("%s: %s; no head is anchored beyond", self.path, error)  # noqa: TRY400
        return self._offset > start and not self._broken


def _writer(anchor: Anchor) -> int:
    return anchor.writer
