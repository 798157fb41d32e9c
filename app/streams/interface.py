"""What the applier asks of a stream of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from app.record.frames import Record

__all__ = ["EventStream", "Positions"]

# The last (epoch, seq) taken of each journal writer; keys are "region/writer".
Positions = Mapping[str, tuple[int, int]]


class EventStream(Protocol):
    """Events of one region, in order for each journal writer, at least once.

    Position is by event identity, never by the stream's own numbering: a reader that was told to
    rewind gets every event behind the positions again, whatever happened to the stream between.
    """

    def rewind(self, positions: Positions) -> None:
        """Go back: what follows the positions is delivered (again)."""
        ...

    def read(self, limit: int) -> list[Record]:
        """Up to `limit` further events, without waiting; fewer only if there are no more yet."""
        ...
