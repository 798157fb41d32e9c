"""What is played in a rehearsal: attempts in columns, and what becomes known of them later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.features.events import Counted
from app.features.packed import distinct_bit
from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity, FeatureSet
from app.features.sql import kinds_of
from app.models.training.history import NEVER_MS, History, ids_of

__all__ = ["FollowUps", "Script"]

# What histories lack. Shares of all attempts, and of all labels; when it becomes known.
ISSUER_DECLINED_SHARE, OUTCOME_MS = 0.08, (1_000, 20_000)
SUPERSEDED_SHARE, SUPERSEDED_MS = 0.02, (30_000, 600_000)
WITHDRAWN_SHARE, WITHDRAWN_MS = 0.1, (DAY_MS // 10, 5 * DAY_MS)
DECLINED_SHARE, STEPPED_UP_SHARE = 0.03, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUps:
    """Outcomes, labels and withdrawals, in the order in which they become known.

    Attributes:
        known_ms: when, ms since the epoch, shape (follow-ups,).
        at_ms: the time each counts at.
        attempt: row of its attempt.
        what: one kind of `Counted`.
    """

    known_ms: Int64s
    at_ms: Int64s
    attempt: Int64s
    what: Int64s

    def __len__(self) -> int:
        return len(self.known_ms)


class Script:
    """Attempts in order of receipt.

    Attributes:
        received_ms: receipt, ms since the epoch, shape (attempts,).
        amount_ref: reference minor units.
        actions: what is decided.
        follow_ups: of all of them.
    """

    def __init__(self, history: History, features: FeatureSet, *, rng: np.random.Generator) -> None:
        """Write the script.

        Args:
            history: the attempts.
            features: what is counted.
            rng: of what the history lacks.
        """
        self.received_ms = history.received_ms
        self.amount_ref = history.amount_ref
        shares = [1 - DECLINED_SHARE - STEPPED_UP_SHARE, DECLINED_SHARE, STEPPED_UP_SHARE]
        self.actions = rng.choice(["approve", "decline", "step_up"], len(history), p=shares)
        self.follow_ups = _follow_ups(history, kinds_of(features.counters), rng)
        self._ids = [(entity, ids_of(history, entity)) for entity in Entity]
        self._bits = {
            entity: [distinct_bit(name) for name in ids.names]
            for entity, ids in self._ids
            if entity in features.told_apart
        }

    def __len__(self) -> int:
        return len(self.received_ms)

    def ids(self, row: int) -> dict[Entity, str]:
        """Ids of an attempt by entity, those that it has."""
        return {entity: ids.names[ids.code[row]] for entity, ids in self._ids if ids.code[row] >= 0}

    def bits(self, row: int) -> dict[str, int]:
        """Bits of those ids that are told apart."""
        return {
            entity.value: self._bits[entity][ids.code[row]]
            for entity, ids in self._ids
            if entity in self._bits and ids.code[row] >= 0
        }


def _follow_ups(history: History, counted: Counted, rng: np.random.Generator) -> FollowUps:
    """All that count, drawn where the history has none."""
    received = history.received_ms
    declined = rng.random(len(history)) < ISSUER_DECLINED_SHARE
    superseded = np.flatnonzero(rng.random(len(history)) < SUPERSEDED_SHARE)
    labelled = np.flatnonzero(history.labelled_ms < NEVER_MS)
    arrived = history.labelled_ms[labelled]
    withdrawn = rng.random(len(labelled)) < WITHDRAWN_SHARE
    outcome_ms = received + rng.integers(*OUTCOME_MS, len(history))
    superseded_ms = received[superseded] + rng.integers(*SUPERSEDED_MS, len(superseded))
    withdrawn_ms = arrived[withdrawn] + rng.integers(*WITHDRAWN_MS, int(withdrawn.sum()))
    parts = [
        (Counted.ISSUER_DECLINED, np.flatnonzero(declined), outcome_ms[declined], None),
        (Counted.AUTHORISED, np.flatnonzero(~declined), outcome_ms[~declined], None),
        (Counted.SUPERSEDED, superseded, superseded_ms, received[superseded]),
        (Counted.FRAUD, labelled, arrived, None),
        (Counted.FRAUD_WITHDRAWN, labelled[withdrawn], withdrawn_ms, arrived[withdrawn]),
    ]
    kept = [
        (np.full(len(rows), int(what)), rows, known_ms, known_ms if at_ms is None else at_ms)
        for what, rows, known_ms, at_ms in parts
        if what & counted
    ]
    what, attempt, known, at = (np.concatenate(column) for column in zip(*kept, strict=True))
    order = np.argsort(known, kind="stable")
    return FollowUps(
        known_ms=known[order], at_ms=at[order], attempt=attempt[order], what=what[order]
    )
