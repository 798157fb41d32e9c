"""Events straight from the journals on this host: the shortest stream there is."""

from __future__ import annotations

import logging
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

    def rewind(self, positions: Positions) -> None:
        """Start again behind the positions."""
        self._positions = dict(positions)
        self._writers = {}

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, in order for each writer."""
        found: list[Record] = []
        for slot in sorted(self._folder.glob("[0-9]*")):
            if len(found) >= limit:
                break
            tail = self._writers.get(slot.name)
            if tail is None:
                tail = self._writers[slot.name] = _WriterTail(slot, self._positions)
            found += tail.read(limit - len(found))
        return found


class _WriterTail:
    """Follows one writer's segments from a position on."""

    def __init__(self, slot: Path, positions: Positions) -> None:
        self._slot = slot
        self._positions = positions
        self._path: Path | None = None
        self._header: SegmentHeader | None = None
        self._offset = 0
        self._head = b""
        self._pending: list[Record] = []

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further records."""
        while len(self._pending) < limit:
            if self._path is None and not self._open_next(after=None):
                break
            if self._read_chunk():
                continue
            if not self._open_next(after=self._path):
                break
        found, self._pending = self._pending[:limit], self._pending[limit:]
        return found

    def _open_next(self, after: Path | None) -> bool:
        for path in segments_of(self._slot):
            if after is not None and path.name <= after.name:
                continue
            with path.open("rb") as file:
                data = file.read(HEADER_BYTES)
            try:
                header = SegmentHeader.unpack(data)
            except BrokenChain:
                return False  # being written, or torn: repaired when its writer opens again
            self._path, self._header = path, header
            self._offset, self._head = HEADER_BYTES, header.head
            return True
        return False

    def _read_chunk(self) -> bool:
        assert self._path is not None
        assert self._header is not None
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(CHUNK_BYTES)
        advanced = False
        done = self._positions.get(f"{self._header.region}/{self._header.writer}", (0, 0))
        try:
            for record in records(data, self._header, offset=self._offset, head=self._head):
                advanced = True
                self._offset, self._head = record.end, record.head
                if (record.id.epoch, record.id.seq) > done:
                    self._pending.append(record)
        except BrokenChain as error:
            log.error("%s: %s; the rest of the segment is left out", self._path, error)  # noqa: TRY400
        return advanced
