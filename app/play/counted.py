"""Waits until the counters have counted everything that was answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import redis

from app.errors import OperatorError
from app.features.applier import APPLIED_KEY, Applied
from app.record.frames import Kind
from app.record.ring_file import wait_until_written
from app.streams.interface import START, Position, position_of, writer_of
from app.streams.journal_tail import JournalTail

__all__ = ["Counters"]

POLL_S = 0.001
WAIT_S_MAX = 30.0
RECORDS_MAX = 2_048


class Counters:
    """A region's counters, as its journals and the markers of its store tell of them.

    An answered attempt is in a journal, and so is an outcome or label that was taken. These count
    by the effects that the joiner writes for them. So everything before an instant is counted once
    the store has applied the last decision and effect that the journals then hold, and as many
    effects are there as what was posted leads to.
    """

    def __init__(self, journal: Path, shards: Sequence[redis.Redis]) -> None:
        """Follow a region.

        Args:
            journal: folder of its journals.
            shards: clients of its store.
        """
        self._journal = journal
        self._tail = JournalTail(journal)
        self._tail.rewind({})
        self._shards = tuple(shards)
        self._last: dict[str, Position] = {}
        self._effects = 0

    async def have_all(self, *, effects: int) -> None:
        """Return when everything in the journals is counted.

        Args:
            effects: that follow-ups have led to by now, altogether.

        Raises:
            OperatorError: it takes too long; something does not run.
        """
        give_up_s = time.monotonic() + WAIT_S_MAX
        await asyncio.to_thread(wait_until_written, self._journal)  # answered is in a ring first
        self._follow()
        while self._effects < effects or not self._applied():
            if time.monotonic() > give_up_s:
                raise OperatorError(
                    f"the counters did not follow within {WAIT_S_MAX:.0f} s: {self._effects} of "
                    f"{effects} effects are joined; nothing is compared."
                )
            await asyncio.sleep(POLL_S)
            if self._effects < effects:
                self._follow()

    def _follow(self) -> None:
        """Read what is new in the journals."""
        while records := self._tail.read(RECORDS_MAX):
            for record in records:
                if record.kind in {Kind.DECISION, Kind.EFFECT}:
                    self._last[writer_of(record.id)] = position_of(record.id)
                    self._effects += record.kind is Kind.EFFECT

    def _applied(self) -> bool:
        for shard in self._shards:
            raw = shard.get(APPLIED_KEY)
            if not isinstance(raw, bytes):
                return False
            positions = msgspec.msgpack.decode(raw, type=Applied).positions
            if any(positions.get(name, START) < last for name, last in self._last.items()):
                return False
        return True
