"""The joiner: joins outcomes and labels with their decisions, once, into effects to be counted.

It follows a region's events, remembers each attempt in a local index, and writes an effect (see
`app.record.effect`) for what follows, into a journal of its own, from where it travels like any
event. A batch goes like this:

    read -> decisions into the index -> join -> commit (index, waiting, positions, outbox) -> append

The commit is the one point at which a batch has happened; `app.record.outbox` says how an effect
is then written exactly once. As with decisions, losing the host may lose the journal's last
moments.

A follow-up may come before its decision, which another process journals. It then waits in the
index, so that positions need not stay behind for it; its time runs out only where the stream has
no more to read, so that a backlog makes none give up. What has waited in vain is looked up, and
else passed over: counted, and named in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.ids import EventId
from app.record.attempt_index import AttemptIndex, Change
from app.record.frames import Kind
from app.record.join_batch import Batch, Find, join_batch, taken
from app.record.joining import Said
from app.record.journal import Journal
from app.record.outbox import Progress, decode_progress, encode_progress, not_written
from app.record.waiting import Waiting
from app.streams.heartbeat import KEPT_EVERY_MS, latest_ms
from app.streams.interface import EventStream, Position
from app.telemetry import Gauges, Telemetry

__all__ = ["BATCH_RECORDS_MAX", "Bounds", "Joiner"]

BATCH_RECORDS_MAX = 2_048
LOOKED_UP_MAX = 64  # of a batch: a look-up in history may take its time
PRUNED_MIN = 256  # of a batch, beside as many as it brings and once more
NAMED_MAX = 8
TOLD_EVERY_MS = 1_000
DAY_MS = 86_400_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Limits of a joiner.

    Attributes:
        join_days: how long an attempt is remembered; counted as `joiner_pruned` when it goes.
        attempts_max: how many are; the oldest go first, counted alike.
        wait_ms: how long a follow-up waits for its decision; then `joiner_unjoined`.
        waiting_max: how many wait; the longest waiting go first, alike.
    """

    join_days: int = 120
    attempts_max: int = 100_000_000
    wait_ms: int = 5_000
    waiting_max: int = 100_000


def _find_nothing(_tenant: str, _attempt_id: str | None, _decision_id: str | None) -> None:
    return None


class Joiner:
    """Joins what one stream brings. Call `resume` first, then `step` for ever.

    Attributes:
        lag_ms: age of the oldest record of the last batch where more were waiting, else 0.
    """

    def __init__(
        self,
        stream: EventStream,
        index: AttemptIndex,
        *,
        folder: Path,
        journal: Callable[[], Journal],
        region: int,
        telemetry: Telemetry,
        now_ms: Callable[[], int],
        find: Find = _find_nothing,
        bounds: Bounds | None = None,
    ) -> None:
        """Make a joiner.

        Args:
            stream: the region's events.
            index: of this joiner alone.
            folder: the region's journal folder.
            journal: opens a writer slot in it; called when there is a first thing to write.
            region: its number.
            telemetry: counts.
            now_ms: wall clock, ms since the epoch.
            find: looks up an attempt that the index has not.
            bounds: limits.
        """
        self.lag_ms = 0
        self._stream, self._index, self._folder = stream, index, folder
        self._open_journal = journal
        self._journal: Journal | None = None
        self._end = EventId(0, 0, 0, 0)  # of the journal
        self._region = region
        self._telemetry = telemetry
        self._now_ms = now_ms
        self._find = find
        self._bounds = bounds or Bounds()
        self._positions: dict[str, Position] = {}
        self._waiting = self._waiting_of([])
        self._tell_at_ms = 0
        self._kept_ms = 0  # last heartbeat of the last commit

    def resume(self) -> None:
        """Go on from the last commit: at the start, and after a step that raised.

        Raises:
            JournalUnavailable: effects of the last commit cannot be written.
            OSError: the journal cannot be read.
            lmdb.Error: the index cannot be read or written.
        """
        kept = self._index.progress()
        progress = Progress() if kept is None else decode_progress(kept)
        self._positions = dict(progress.positions)
        self._kept_ms = latest_ms(self._positions)
        if missing := not_written(self._folder, progress):
            log.warning("%d effects of the last commit are written now", len(missing))
            self._place()
            with self._index.change() as change:
                self._keep(change, missing)
            self._append(missing)
        decoder = msgspec.msgpack.Decoder(Said)
        self._waiting = self._waiting_of([decoder.decode(one) for one in self._index.waiting()])
        self._stream.rewind(self._positions)

    def step(self) -> int:
        """Join one batch. Returns the records taken.

        Raises:
            JournalUnavailable: the effects cannot be written.
            StreamError: the stream cannot be read.
            OSError: the journals cannot be read.
            lmdb.Error: the index cannot be written.
        """
        records = self._stream.read(BATCH_RECORDS_MAX)
        behind = len(records) == BATCH_RECORDS_MAX
        batch = taken(records, self._positions, region=self._region, now_ms=self._now_ms())
        batch.over = self._waiting.too_many()
        if not behind:
            batch.over += self._waiting.over(batch.now_ms, limit=LOOKED_UP_MAX)
        idle_ms = latest_ms(self._positions) - self._kept_ms
        if batch.attempts or batch.said or batch.over or idle_ms >= KEPT_EVERY_MS:
            self._commit(batch)
            self._append(batch.effects)
        self._tell(batch)
        oldest_ms = min((record.written_ms for record in records), default=0)
        self.lag_ms = max(0, batch.now_ms - oldest_ms) if behind else 0
        return len(records)

    def gauges(self) -> Gauges:
        """How things stand."""
        return Gauges(
            numbers={
                "joiner_attempts": self._index.attempts,
                "joiner_waiting": len(self._waiting),
                "joiner_lag_ms": self.lag_ms,
            }
        )

    def close(self) -> None:
        """Bring everything to disk and give the writer slot and the index back."""
        if self._journal is not None:
            journal, self._journal = self._journal, None
            journal.close()
        self._index.close()

    def _commit(self, batch: Batch) -> None:
        before_ms = batch.now_ms - self._bounds.join_days * DAY_MS
        with self._index.change() as change:
            join_batch(batch, change, self._waiting, find=self._find, before_ms=before_ms)
            pruned = change.prune(
                before_ms=before_ms,
                attempts_max=self._bounds.attempts_max,
                limit=PRUNED_MIN + 2 * len(batch.attempts),
            )
            if batch.effects:
                self._place()
            self._keep(change, batch.effects)
        batch.counts["joiner_decisions",] += len(batch.attempts)
        batch.counts["joiner_effects",] += len(batch.effects)
        batch.counts["joiner_pruned",] += pruned

    def _waiting_of(self, said: list[Said]) -> Waiting:
        bounds = self._bounds
        return Waiting(said, wait_ms=bounds.wait_ms, waiting_max=bounds.waiting_max)

    def _place(self) -> None:
        """Have a journal, whose end is known."""
        if self._journal is None:
            self._journal = self._open_journal()
            self._end = EventId(self._region, self._journal.writer, self._journal.epoch, 0)

    def _keep(self, change: Change, effects: list[bytes]) -> None:
        progress = Progress(positions=self._positions, outbox=effects, end=self._end)
        change.keep(encode_progress(progress))
        self._kept_ms = latest_ms(self._positions)

    def _append(self, effects: Sequence[bytes]) -> None:
        for effect in effects:
            assert self._journal is not None
            self._end = self._journal.append(Kind.EFFECT, effect)

    def _tell(self, batch: Batch) -> None:
        for labels, number in batch.counts.items():
            self._telemetry.count(*labels, by=number)
        if batch.unjoined and batch.now_ms >= self._tell_at_ms:
            self._tell_at_ms = batch.now_ms + TOLD_EVERY_MS
            named = (
                f"{said.what} {'/'.join(map(str, said.of))} of {said.tenant} for"
                f" {said.attempt_id or said.decision_id}"
                for said in batch.unjoined[:NAMED_MAX]
            )
            log.warning(
                "%d follow-ups have no decision here: %s", len(batch.unjoined), ", ".join(named)
            )
