"""What counts after an attempt, as columns: outcomes, labels, and what was taken back of them.

Labels are joined as `app.record.joining` does it in service: an attempt has one class or none; a
label that says the same again counts nothing; one that changes the class takes the former one
back, at the time that was counted at, and is known from its own arrival on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.features.events import Counted
from app.features.rings import Bools, Int64s

__all__ = ["FollowUps", "millis", "rows_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUps:
    """Events that count after their attempts, shape (events,) each.

    Attributes:
        attempt: row of the attempt.
        at_ms: the time each counts at, ms since the epoch.
        known_ms: when it was received; later than `at_ms` only where something is taken back.
        what: `Counted` flags.
    """

    attempt: Int64s
    at_ms: Int64s
    known_ms: Int64s
    what: Int64s

    @classmethod
    def none(cls) -> FollowUps:
        """No events."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(attempt=nothing, at_ms=nothing, known_ms=nothing, what=nothing)

    @classmethod
    def of_one_kind(cls, what: Counted, attempt: Int64s, at_ms: Int64s) -> FollowUps:
        """Events that were known as soon as they count."""
        kinds = np.full(len(attempt), int(what), dtype=np.int64)
        return cls(attempt=attempt, at_ms=at_ms, known_ms=at_ms, what=kinds)

    @classmethod
    def of_outcomes(cls, attempt_ids: pa.ChunkedArray, outcomes: pa.Table) -> FollowUps:
        """Outcomes, as each was received.

        Args:
            attempt_ids: of all attempts.
            outcomes: `attempt_id`, `kind`, `received_at`; those of other attempts are left out.
        """
        row = rows_of(attempt_ids, outcomes["attempt_id"])
        known = row >= 0
        received_ms = millis(outcomes["received_at"])[known]
        what = _counted_as(outcomes["kind"])[known]
        return cls(attempt=row[known], at_ms=received_ms, known_ms=received_ms, what=what)

    @classmethod
    def of_labels(cls, attempt_ids: pa.ChunkedArray, labels: pa.Table) -> FollowUps:
        """What a history of labels counts as.

        Args:
            attempt_ids: of all attempts.
            labels: `attempt_id`, `label`, `arrived_at`; those of other attempts are left out.
        """
        row = rows_of(attempt_ids, labels["attempt_id"])
        arrived_ms = millis(labels["arrived_at"])
        order = np.lexsort((arrived_ms, row))
        order = order[row[order] >= 0]
        row, arrived_ms = row[order], arrived_ms[order]
        counted = _counted_as(labels["label"])[order]
        change, before_ms = _changes(row, arrived_ms, counted)
        former = np.concatenate([[0], counted[:-1]])
        back = change & (before_ms >= 0) & (former != 0)
        new = change & (counted != 0)
        return cls(
            attempt=np.concatenate([row[back], row[new]]),
            at_ms=np.concatenate([before_ms[back], arrived_ms[new]]),
            known_ms=np.concatenate([arrived_ms[back], arrived_ms[new]]),
            what=np.concatenate([_WITHDRAWN[former[back]], counted[new]]),
        )

    def __len__(self) -> int:
        """Events."""
        return len(self.attempt)

    def of(self, events: Int64s | Bools) -> FollowUps:
        """Some of the events."""
        return FollowUps(
            attempt=self.attempt[events],
            at_ms=self.at_ms[events],
            known_ms=self.known_ms[events],
            what=self.what[events],
        )

    def of_attempts(self, rows: Int64s, attempts: int) -> FollowUps:
        """Those of some attempts, which are renumbered in the order given.

        Args:
            rows: of the attempts.
            attempts: how many there were.
        """
        number = np.full(attempts, -1, dtype=np.int64)
        number[rows] = np.arange(len(rows))
        kept = self.of(number[self.attempt] >= 0)
        return FollowUps(
            attempt=number[kept.attempt], at_ms=kept.at_ms, known_ms=kept.known_ms, what=kept.what
        )

    def beside(self, other: FollowUps) -> FollowUps:
        """These and others, in this order."""
        return FollowUps(
            attempt=np.concatenate([self.attempt, other.attempt]),
            at_ms=np.concatenate([self.at_ms, other.at_ms]),
            known_ms=np.concatenate([self.known_ms, other.known_ms]),
            what=np.concatenate([self.what, other.what]),
        )


def millis(column: pa.ChunkedArray) -> Int64s:
    """Instants as ms since the epoch."""
    at_ms: Int64s = (
        column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64()).to_numpy().astype(np.int64)
    )
    return at_ms


def rows_of(attempt_ids: pa.ChunkedArray, wanted: pa.ChunkedArray) -> Int64s:
    """Row of each wanted attempt, -1 where there is none."""
    place = pc.index_in(wanted, value_set=attempt_ids.combine_chunks()).fill_null(-1)
    rows: Int64s = place.to_numpy().astype(np.int64)
    return rows


_NAMES = {str(kind.name).lower(): int(kind) for kind in Counted}
# By value of the class that is taken back: a few hundred entries, so that it is one look-up.
_WITHDRAWN = np.zeros(int(Counted.NOT_FRAUD) + 1, dtype=np.int64)
_WITHDRAWN[int(Counted.FRAUD)] = int(Counted.FRAUD_WITHDRAWN)
_WITHDRAWN[int(Counted.NOT_FRAUD)] = int(Counted.NOT_FRAUD_WITHDRAWN)


def _counted_as(kinds: pa.ChunkedArray) -> Int64s:
    """`Counted` value of each name; 0 for "withdrawn", which leaves no class."""
    encoded = pc.dictionary_encode(kinds.combine_chunks())
    values = np.array([_NAMES.get(name, 0) for name in encoded.dictionary.to_pylist()], dtype=int)
    return np.asarray(values[encoded.indices.to_numpy()], dtype=np.int64)


def _changes(row: Int64s, arrived_ms: Int64s, counted: Int64s) -> tuple[Bools, Int64s]:
    """Which labels change the class of their attempt, and since when the former one counted.

    Args:
        row: attempt of each label, ascending.
        arrived_ms: ascending within an attempt.
        counted: the class that each leaves, 0 for none.

    Returns:
        Both of shape (labels,); -1 where the attempt had no class yet.
    """
    first = np.concatenate([[True], row[1:] != row[:-1]])[: len(row)]
    same = np.concatenate([[False], counted[1:] == counted[:-1]])[: len(row)] & ~first
    change = ~same & ~(first & (counted == 0))
    # The last change up to each label is where its class began.
    began = np.maximum.accumulate(np.where(~same, np.arange(len(row)), 0))
    since_ms = arrived_ms[began]
    before_ms = np.concatenate([[-1], since_ms[:-1]])[: len(row)]
    return change, np.where(first, -1, before_ms)
