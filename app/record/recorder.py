"""Names and records decisions; a journal that fails never costs an answer.

While the journal takes nothing, decisions go on and every missing record is counted and shown;
once it takes records again, a gap stands in the chain before the next one. A journal that could
not be opened is tried again at intervals; one that is open is kept, since a disk that was full
takes records again once there is room.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

from app.ids import DecisionIds
from app.record.decision import Encoded
from app.record.frames import Kind
from app.record.gap import Gap, encode_gap
from app.record.journal import Journal, JournalUnavailable
from fallback.clock import Clock

__all__ = ["Recorder"]

RETRY_S = 5.0
# Writer in the ids of decisions that were made while there was no journal.
NO_WRITER = 0xFFFF

log = logging.getLogger(__name__)


class Recorder:
    """Owns this process's journal."""

    def __init__(self, open_journal: Callable[[], Journal], *, region: int, clock: Clock) -> None:
        """Open the journal, or go on without one.

        Args:
            open_journal: opens a writer slot; raises JournalUnavailable.
            region: number of the region, part of decision ids.
            clock: paces the tries.
        """
        self.written = 0
        self.missing = 0
        self.healthy = False
        self._open = open_journal
        self._region = region
        self._clock = clock
        self._retry_at_s = clock.monotonic()
        self._journal: Journal | None = None
        self._gap: Gap | None = None  # decisions missed since the journal last took one
        self._ids = DecisionIds(region=region, writer=NO_WRITER)
        self._ensure_open()

    @property
    def without_ring(self) -> str | None:
        """Why the journal is written without a ring, where one was asked for; None where not so."""
        return None if self._journal is None else self._journal.without_ring

    def new_id(self, unix_ms: int) -> str:
        """An id for a decision, which says in whose journal its record will be."""
        self._ensure_open()
        return self._ids.new(unix_ms)

    def write(self, decisions: Sequence[Encoded]) -> bool:
        """Append decisions, at least one, together. Returns whether they are in the journal."""
        taken = self._append(Kind.DECISION, [one.payload for one in decisions])
        if taken:
            self.written += len(decisions)
        else:
            self.missing += len(decisions)
            for one in decisions:
                self._gap = _wider(self._gap, one.received_ms)
        return taken

    def append(self, kind: Kind, payload: bytes) -> bool:
        """Append any record. Returns whether it is in the journal."""
        return self._append(kind, [payload])

    def _append(self, kind: Kind, payloads: Sequence[bytes]) -> bool:
        self._ensure_open()
        if self._journal is not None:
            try:
                if self._gap is not None:
                    self._journal.append(Kind.GAP, encode_gap(self._gap))
                    self._gap = None
                self._journal.append_all(kind, payloads)
            except JournalUnavailable as error:
                self._refused(error)
            else:
                self.healthy = True
                return True
        return False

    def close(self) -> None:
        """Bring everything to disk, for good."""
        self._retry_at_s = math.inf
        if self._journal is not None:
            journal, self._journal = self._journal, None
            try:
                journal.close()
            except OSError:
                log.exception("the journal could not be brought to disk")

    def _ensure_open(self) -> None:
        if self._journal is not None or self._clock.monotonic() < self._retry_at_s:
            return
        try:
            self._journal = self._open()
        except JournalUnavailable as error:
            self._retry_at_s = self._clock.monotonic() + RETRY_S
            self._refused(error)
        else:
            self._ids = DecisionIds(region=self._region, writer=self._journal.writer)
            self.healthy = True

    def _refused(self, error: JournalUnavailable) -> None:
        if self.healthy or not self.missing:  # say it once, not for every decision
            log.error("decisions go on without a record: %s", error)
        self.healthy = False


def _wider(gap: Gap | None, at_ms: int) -> Gap:
    """The gap with one more decision missed."""
    if gap is None:
        return Gap(missed=1, since_ms=at_ms, until_ms=at_ms)
    return Gap(
        missed=gap.missed + 1,
        since_ms=min(gap.since_ms, at_ms),
        until_ms=max(gap.until_ms, at_ms),
    )
