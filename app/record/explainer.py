"""The explainer: one process a host that says why the models scored as they did.

It follows the journals, and never the decision path: a decision is answered and recorded before
its explanation is begun, and stays as it is without one. Of the decisions that a model rung
answered, it explains all but the approvals, and of those a share.

Delivery is at least once: explanations are appended first, then the checkpoint moves on. A crash
between the two explains one batch again, to the same result, so whoever reads explanations takes
any one of a decision. As with decisions, losing the host may lose the journal's last moments.

A decision that cannot be explained (its artifact is gone, or the sum is not the recorded score) is
passed over, counted and named in the log: one of them must not hold up all others.
"""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import FrameType

import msgspec

from app.models.artifact import Artifact, load_artifact
from app.record.explaining import answers_to_explain, explained
from app.record.explanation import (
    ExplainerCheckpoint,
    ExplanationRecord,
    encode_explanation,
    read_checkpoint,
    write_checkpoint,
)
from app.record.frames import Kind, Record
from app.record.journal import Journal, JournalUnavailable, open_journal
from app.record.signing import ensure_signing_key
from app.settings import ScorerSettings, load
from app.streams.interface import EventStream, position_of, writer_of
from app.streams.journal_tail import JournalTail
from regions.topology import load_topology

__all__ = ["BATCH_RECORDS_MAX", "Explainer", "run"]

BATCH_RECORDS_MAX = 512
ARTIFACTS_MAX = 4  # loaded at once: the one in force, and those of decisions made before
LAG_SHOWN_MS = 10_000
RETRY_S = 1.0

log = logging.getLogger(__name__)


class Explainer:
    """Explains what one stream brings. Call `resume` first, then `step` for ever."""

    def __init__(
        self,
        stream: EventStream,
        *,
        journal: Callable[[], Journal],
        artifact: Callable[[str], Artifact],
        load_checkpoint: Callable[[], ExplainerCheckpoint],
        save_checkpoint: Callable[[ExplainerCheckpoint], None],
        now_ms: Callable[[], int],
        approvals: float = 0.0,
    ) -> None:
        """Make an explainer.

        Args:
            stream: the decisions.
            journal: opens a writer slot; called when there is a first thing to write.
            artifact: loads a version; raises PublicationError.
            load_checkpoint: where the one before stopped.
            save_checkpoint: keeps it for good.
            now_ms: wall clock, ms since the epoch.
            approvals: share of the approvals to explain too, 0 to 1.
        """
        self.checkpoint = ExplainerCheckpoint()
        self._stream = stream
        self._open_journal = journal
        self._journal: Journal | None = None
        self._artifact = lru_cache(maxsize=ARTIFACTS_MAX)(artifact)
        self._load_checkpoint = load_checkpoint
        self._save_checkpoint = save_checkpoint
        self._now_ms = now_ms
        self._approvals = approvals

    def resume(self) -> None:
        """Go on from the checkpoint: at the start, and after a step that raised.

        Raises:
            OSError: the checkpoint cannot be read.
        """
        try:
            self.checkpoint = self._load_checkpoint()
        except msgspec.MsgspecError:
            log.exception("the checkpoint is unreadable: everything is explained again")
            self.checkpoint = ExplainerCheckpoint()
        self._stream.rewind(self.checkpoint.positions)

    def step(self) -> int:
        """Explain one batch. Returns the records taken.

        Raises:
            JournalUnavailable: the explanations cannot be written.
            OSError: the journals cannot be read, or the checkpoint not be written.
        """
        records = self._stream.read(BATCH_RECORDS_MAX)
        if not records and not self.checkpoint.lag_ms:
            return 0
        answers = answers_to_explain(records, approvals=self._approvals)
        explanations = list(explained(answers, self._artifact))
        for explanation in explanations:
            self._append(explanation)
        self._move_on(records, len(explanations), len(answers) - len(explanations))
        return len(records)

    def close(self) -> None:
        """Bring everything to disk and give the writer slot back."""
        if self._journal is not None:
            journal, self._journal = self._journal, None
            journal.close()

    def _append(self, explanation: ExplanationRecord) -> None:
        if self._journal is None:
            self._journal = self._open_journal()
        self._journal.append(Kind.EXPLANATION, encode_explanation(explanation))

    def _move_on(self, records: Sequence[Record], explained: int, unexplained: int) -> None:
        before = self.checkpoint
        behind = len(records) == BATCH_RECORDS_MAX
        writers = set(before.writers) | ({self._journal.writer} if self._journal else set())
        after = ExplainerCheckpoint(
            positions=before.positions | {writer_of(r.id): position_of(r.id) for r in records},
            writers=sorted(writers),
            explained=before.explained + explained,
            unexplained=before.unexplained + unexplained,
            lag_ms=max(0, self._now_ms() - min(r.written_ms for r in records)) if behind else 0,
        )
        self._save_checkpoint(after)
        self.checkpoint = after
        if (after.lag_ms > LAG_SHOWN_MS) != (before.lag_ms > LAG_SHOWN_MS):
            log.warning("behind by %d ms; %d explained so far", after.lag_ms, after.explained)


def run(settings: ScorerSettings, *, approvals: float) -> None:
    """Explain until told to stop; a journal that takes nothing is waited for."""
    stopping: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    explainer = _make(settings, approvals)
    fresh = False
    while not stopping:
        try:
            if not fresh:
                explainer.resume()
                fresh = True
            taken = explainer.step()
        except (JournalUnavailable, OSError) as error:
            log.warning("%s; going on from the checkpoint", error)
            fresh = False
            time.sleep(RETRY_S)
        else:
            if taken < BATCH_RECORDS_MAX:
                time.sleep(settings.poll_s)
    explainer.close()


def _make(settings: ScorerSettings, approvals: float) -> Explainer:
    return Explainer(
        JournalTail(settings.journal),
        journal=partial(
            open_journal,
            settings.journal,
            region=load_topology().region(settings.region).number,
            host=settings.host_number(),
            signer=ensure_signing_key(settings.home / "secrets" / "journal-key"),
            fsync_ms=settings.fsync_ms,
            segment_bytes=settings.journal_segment_bytes,
            bytes_max=settings.journal_bytes_max,
        ),
        artifact=partial(load_artifact, settings.published / "model"),
        load_checkpoint=partial(read_checkpoint, settings.journal),
        save_checkpoint=partial(write_checkpoint, settings.journal),
        now_ms=lambda: time.time_ns() // 1_000_000,
        approvals=approvals,
    )


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("a share is from 0 to 1")
    return share


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    parser = argparse.ArgumentParser(description="Explain what the models decided.")
    parser.add_argument(
        "--approvals", type=_share, default=0.0, help="share of the approvals to explain too"
    )
    run(load(), approvals=parser.parse_args().approvals)
