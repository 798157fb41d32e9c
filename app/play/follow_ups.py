"""What is said of attempts while a period is played: outcomes, and labels as senders put them.

A history tells what counts (`app.models.training.follow_ups`); here it is turned back into what
was said, so that the service's joiner finds out by itself what that counts as:

    outcome                        one outcome, one effect
    class counted                  a label of that class, one effect
    class taken back, another      a label of the other class, two effects
    class taken back, no other     a label "withdrawn", one effect
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from app.features.events import Counted
from app.models.training.follow_ups import FollowUps
from app.models.training.history import History

__all__ = ["Class", "FollowUp", "classes_at", "follow_ups_of"]

CLASSES = Counted.FRAUD | Counted.NOT_FRAUD
WITHDRAWALS = Counted.FRAUD_WITHDRAWN | Counted.NOT_FRAUD_WITHDRAWN


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """One outcome or label.

    Attributes:
        row: of the attempt in the history.
        at_ms: its receipt, ms since the epoch.
        said: an outcome's kind or a label's class, as the wire names them.
        counts: `Counted` flags of what it leads to.
        effects: how many things that are.
    """

    row: int
    at_ms: int
    said: str
    counts: Counted
    effects: int

    @property
    def label(self) -> bool:
        """Whether it is a label; else it is an outcome."""
        return bool(self.counts & (CLASSES | WITHDRAWALS))


@dataclass(frozen=True, slots=True)
class Class:
    """What an attempt is held for.

    Attributes:
        name: "fraud" or "not_fraud".
        at_ms: the time that it counts at.
    """

    name: str
    at_ms: int


def follow_ups_of(history: History, *, since_ms: int) -> list[FollowUp]:
    """All that is received from an instant on, in order of receipt.

    Args:
        history: with nothing in it that comes too late to be said.
        since_ms: ms since the epoch.
    """
    later = history.follow_ups()
    at: dict[tuple[int, int], Counted] = {}  # what a label leads to
    others = []
    for row, _, known_ms, what in _in_order(later.of(later.known_ms >= since_ms)):
        if what & (CLASSES | WITHDRAWALS):
            at[row, known_ms] = at.get((row, known_ms), Counted.NOTHING) | what
        else:
            others.append(_follow_up(row, known_ms, what, effects=1))
    labels = [
        _follow_up(row, known_ms, what, effects=what.bit_count())
        for (row, known_ms), what in at.items()
    ]
    return sorted([*labels, *others], key=lambda one: (one.at_ms, one.row))


def classes_at(history: History, at_ms: int) -> Mapping[int, Class]:
    """What each row was held for just before an instant, by its labels; others are left out."""
    later = history.follow_ups()
    labels = (later.what & int(CLASSES | WITHDRAWALS)) != 0
    held: dict[int, Class] = {}
    for row, counted_ms, _, what in _in_order(later.of(labels & (later.known_ms < at_ms))):
        if what & CLASSES:
            held[row] = Class(_name(what), counted_ms)
        else:
            held.pop(row, None)
    return held


def _in_order(later: FollowUps) -> Iterator[tuple[int, int, int, Counted]]:
    """Row, time counted at, receipt and kind of each event, by receipt.

    What a label takes back comes before what it says instead.
    """
    instead = (later.what & int(CLASSES)) != 0
    order = np.lexsort((instead, later.known_ms))
    for row, at_ms, known_ms, what in zip(
        later.attempt[order].tolist(),
        later.at_ms[order].tolist(),
        later.known_ms[order].tolist(),
        later.what[order].tolist(),
        strict=True,
    ):
        yield row, at_ms, known_ms, Counted(what)


def _follow_up(row: int, at_ms: int, counts: Counted, *, effects: int) -> FollowUp:
    left = counts & ~WITHDRAWALS
    said = _name(left) if left else "withdrawn"
    return FollowUp(row=row, at_ms=at_ms, said=said, counts=counts, effects=effects)


def _name(what: Counted) -> str:
    assert what.name is not None
    return what.name.lower()
