"""Events straight from the journals on this host: the shortest stream there is."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from app.record.frames import (
    HEADER_BYTES,
    BrokenChain,
    Record,
    SegmentHeader,
    records,
    segments_of,
)
from app.streams.interface import Positions

__all__ = ["JournalTail"]

CHUNK_BYTES = 4 * 2**20

log = logging.getLogger(__name__)


class JournalTail:
    """Follows every writer's journal below one folder. Implements `EventStream`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._positions: Positions = {}
        self._writers: dict[str, _WriterTail] = {}
        self._turn = 0

    def rewind(self, positions: Positions) -> None:
        """Start again behind the positions."""
        self._positions = dict(positions)
        self._writers = {}

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, in order for each writer."""
        slots = self._slots()
        self._turn = (self._turn + 1) % max(len(slots), 1)  # none waits behind a busy one
        found: list[Record] = []
        for slot in (*slots[self._turn :], *slots[: self._turn]):
            if len(found) >= limit:
                break
            tail = self._writers.get(slot)
            if tail is None:
                tail = self._writers[slot] = _WriterTail(self._folder / slot, self._positions)
            found += tail.read(limit - len(found))
        return found

    def _slots(self) -> list[str]:
        """Names of the writers' folders; none before there is a journal."""
        try:
            names = os.listdir(self._folder)  # noqa: PTH208 - asked all the time
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name[0].isdecimal())


class _WriterTail:
    """Follows one writer's segments from a position on."""

    def __init__(self, slot: Path, positions: Positions) -> None:
        self._slot = slot
        self._positions = positions
        self._segment: _SegmentTail | None = None
        self._pending: list[Record] = []

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further records."""
        while len(self._pending) < limit:
            # Looked up first: a segment that has a successor is final, so what is read of it
            # after that is all of it.
            following = self._following()
            if self._segment is not None and (fresh := self._segment.read()):
                done = self._done(self._segment.header)
                self._pending += [r for r in fresh if (r.id.epoch, r.id.seq) > done]
            elif following is not None:
                self._segment = following
            else:
                break
        found, self._pending = self._pending[:limit], self._pending[limit:]
        return found

    def _following(self) -> _SegmentTail | None:
        """The next segment, if there is one with a whole header; at first, where to start."""
        last_read = None if self._segment is None else self._segment.path.name
        start: _SegmentTail | None = None
        for path in segments_of(self._slot):
            if last_read is not None and path.name <= last_read:
                continue
            with path.open("rb") as file:
                data = file.read(HEADER_BYTES)
            try:
                header = SegmentHeader.unpack(data)
            except BrokenChain:
                continue  # being written, or damaged: whatever follows counts
            if last_read is not None:
                return _SegmentTail(path, header)
            epoch, seq = self._done(header)
            if start is not None and (header.epoch, header.first_seq) > (epoch, seq + 1):
                break
            start = _SegmentTail(path, header)
        return start

    def _done(self, header: SegmentHeader) -> tuple[int, int]:
        return self._positions.get(f"{header.region}/{header.writer}", (0, 0))


class _SegmentTail:
    """Follows one segment as it grows."""

    def __init__(self, path: Path, header: SegmentHeader) -> None:
        self.path = path
        self.header = header
        self._offset, self._head = HEADER_BYTES, header.head
        self._broken = False

    def read(self) -> list[Record]:
        """The whole records behind those read before."""
        found: list[Record] = []
        # Mostly there is nothing new, which its size tells without a buffer for a whole chunk.
        if self._broken or self.path.stat().st_size <= self._offset:
            return found
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(CHUNK_BYTES)
        try:
            for record in records(data, self.header, offset=self._offset, head=self._head):
                self._offset, self._head = record.end, record.head
                found.append(record)
        except BrokenChain as error:
            self._broken = True
            log.error("%s: %s; the rest of the segment is left out", self.path, error)  # noqa: TRY400
        return found
