"""A stream whose holes are gone over by the journals on this host."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.record.frames import Record
from app.streams.heartbeat import heartbeat
from app.streams.interface import (
    EventStream,
    Position,
    Positions,
    StreamGap,
    position_of,
    writer_of,
)

__all__ = ["Bridged"]

log = logging.getLogger(__name__)


class Bridged:
    """Reads a stream, and the journals where it has a hole. Implements `EventStream`.

    The journals are read to their end, which is behind any hole, and the stream is taken up again
    from there. The end is marked by a heartbeat like the shipper's: everything journaled on this
    host by then was delivered.

    Attributes:
        gaps: holes met.
    """

    def __init__(
        self,
        stream: EventStream,
        journals: EventStream,
        *,
        region: int,
        now_ms: Callable[[], int],
    ) -> None:
        """Make the reader; to be rewound before a first read.

        Args:
            stream: of the region.
            journals: the same events, as far as this host wrote them.
            region: its number.
            now_ms: wall clock, ms since the epoch.
        """
        self.gaps = 0
        self._stream = stream
        self._journals = journals
        self._region = region
        self._now_ms = now_ms
        self._positions: dict[str, Position] = {}
        self._bridging = False

    def rewind(self, positions: Positions) -> None:
        """Start again behind the positions."""
        self._positions = dict(positions)
        self._bridging = False
        try:
            self._stream.rewind(positions)
        except StreamGap as gap:
            self._enter(gap)

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, in order for each writer."""
        if not self._bridging:
            try:
                return self._noted(self._stream.read(limit))
            except StreamGap as gap:
                self._enter(gap)
        return self._over_the_hole(limit)

    def _enter(self, gap: StreamGap) -> None:
        self.gaps += 1
        log.warning("%s; going over it from the journals on this host", gap)
        self._journals.rewind(self._positions)
        self._bridging = True

    def _over_the_hole(self, limit: int) -> list[Record]:
        """What the journals have, until they end.

        Raises:
            StreamGap: the stream does not reach back to their end.
        """
        now_ms = self._now_ms()  # before the read, which so misses nothing of then
        records = self._noted(self._journals.read(limit - 1))
        if len(records) < limit - 1:
            records += self._noted([heartbeat(self._region, now_ms, self._positions)])
            self._stream.rewind(self._positions)
            self._bridging = False
            log.info("the stream is taken up again at %s", self._positions)
        return records

    def _noted(self, records: list[Record]) -> list[Record]:
        for record in records:
            self._positions[writer_of(record.id)] = position_of(record.id)
        return records
