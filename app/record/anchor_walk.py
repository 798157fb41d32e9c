"""Goes along a writer's anchors while its records are read, in step and in constant memory."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from app.record.anchor import Anchor, Position
from app.record.report import Tally

__all__ = ["AnchorWalk"]


class AnchorWalk:
    """Every anchor must be met by the record it was taken of, with the same head."""

    def __init__(self, anchors: Iterator[Anchor], *, region: int, slot: str, tally: Tally) -> None:
        """Start at the oldest anchor.

        Args:
            anchors: of the writer, oldest first.
            region: that they must be of.
            slot: name of the writer's folder.
            tally: is told what does not agree.
        """
        self._anchors = anchors
        self._region, self._slot, self._tally = region, slot, tally
        self._beyond = 0
        self._next = self._take()

    def opened(self, at: Position, head: bytes) -> None:
        """A segment's header was read: anchors up to it must agree."""
        self._missing(at)
        self._compare(at, head)

    def passed(self, at: Position, head: bytes) -> None:
        """A record was read: anchors up to it must agree."""
        self._missing(at)
        self._beyond += 1
        self._compare(at, head)

    def skip(self, to: Position) -> None:
        """What is before was removed with its segment, or its damage told already."""
        while self._next is not None and self._next.position < to:
            self._next = self._take()

    def finish(self) -> None:
        """The chain ended: no anchor may be left."""
        self._tally.unanchored += self._beyond
        if self._next is not None:
            self._tell("the journal ends before what was anchored", self._next.position)

    def _compare(self, at: Position, head: bytes) -> None:
        while self._next is not None and self._next.position == at:
            if self._next.head != head.hex():
                self._tell("what was anchored reads otherwise", at)
            self._beyond = 0
            self._next = self._take()

    def _missing(self, before: Position) -> None:
        if self._next is not None and self._next.position < before:
            self._tell("what was anchored is not there", self._next.position)
            self.skip(before)

    def _take(self) -> Anchor | None:
        try:
            anchor = next(self._anchors, None)
        except msgspec.MsgspecError:
            self._tally.find(f"{self._slot}.anchors", "the anchors cannot be read to their end")
            return None
        if anchor is not None and (anchor.region, anchor.writer) != (self._region, int(self._slot)):
            self._tell("the anchor is of another writer", anchor.position)
        return anchor

    def _tell(self, what: str, at: Position) -> None:
        self._tally.find(f"{self._slot}.anchors", f"{what} (epoch {at[0]})", at[1])
