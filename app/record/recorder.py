"""Records decisions; a journal that fails never costs an answer.

While the journal takes nothing, decisions go on, every missing record is counted and shown, and
opening it is tried again at intervals.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.record.decision import DecisionRecord, encode
from app.record.frames import Kind
from app.record.journal import Journal, JournalUnavailable
from fallback.clock import Clock

__all__ = ["Recorder"]

RETRY_S = 5.0

log = logging.getLogger(__name__)


class Recorder:
    """Owns this process's journal."""

    def __init__(self, open_journal: Callable[[], Journal], *, clock: Clock) -> None:
        """Open the journal, or go on without one.

        Args:
            open_journal: opens a writer slot; raises JournalUnavailable.
            clock: paces the tries.
        """
        self.written = 0
        self.missing = 0
        self._open = open_journal
        self._clock = clock
        self._retry_at_s = clock.monotonic()
        self._journal: Journal | None = None
        self._ensure_open()

    @property
    def writer(self) -> int | None:
        """The writer slot; None without a journal."""
        return None if self._journal is None else self._journal.writer

    @property
    def healthy(self) -> bool:
        """Whether the last record was taken."""
        return self._journal is not None

    def write(self, record: DecisionRecord) -> bool:
        """Append one decision. Returns whether it is in the journal."""
        journal = self._ensure_open()
        if journal is not None:
            try:
                journal.append(Kind.DECISION, encode(record))
            except JournalUnavailable as error:
                self._lost(error)
            else:
                self.written += 1
                return True
        self.missing += 1
        return False

    def close(self) -> None:
        """Bring everything to disk."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _ensure_open(self) -> Journal | None:
        if self._journal is None and self._clock.monotonic() >= self._retry_at_s:
            try:
                self._journal = self._open()
            except JournalUnavailable as error:
                self._lost(error)
        return self._journal

    def _lost(self, error: JournalUnavailable) -> None:
        log.error("decisions go on without a record: %s", error)
        self._retry_at_s = self._clock.monotonic() + RETRY_S
        if self._journal is not None:
            journal, self._journal = self._journal, None
            try:
                journal.close()
            except OSError:
                log.exception("the failed journal could not be closed")
