"""The two upper rungs: gather features, score them. `full` and `batch` differ in what they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from fallback.deadline import Deadline
from fallback.rung import Assessment, RungName

__all__ = ["Features", "Scored", "ScoredRung", "Scorer"]

AttemptT = TypeVar("AttemptT")
AttemptT_contra = TypeVar("AttemptT_contra", contravariant=True)
RowT = TypeVar("RowT")
RowT_co = TypeVar("RowT_co", covariant=True)
RowT_contra = TypeVar("RowT_contra", contravariant=True)


class Features(Protocol[AttemptT_contra, RowT_co]):
    """Gathers a model's inputs. What it cannot gather is a `RungError`."""

    async def read(
        self, attempts: Sequence[AttemptT_contra], deadline: Deadline, /
    ) -> Sequence[RowT_co | Exception]:
        """The row of each attempt, in order, or why it has none; raises for all of them."""
        ...


class Scored(Protocol):
    """What a scorer says of a row."""

    @property
    def probability(self) -> float:
        """Calibrated probability of fraud, in [0, 1]."""
        ...


class Scorer(Protocol[RowT_contra]):
    """Scores rows. Raises `RungError` when it cannot."""

    def score(self, rows: Sequence[RowT_contra], deadline: Deadline, /) -> Sequence[Scored]:
        """The score of each row, in order."""
        ...


class ScoredRung(Generic[AttemptT, RowT]):
    """A rung whose assessment is a model's probability."""

    def __init__(
        self, name: RungName, *, features: Features[AttemptT, RowT], scorer: Scorer[RowT]
    ) -> None:
        self._name = name
        self._features = features
        self._scorer = scorer

    @property
    def name(self) -> RungName:
        """The rung's name on the wire."""
        return self._name

    async def assess(
        self, attempts: Sequence[AttemptT], deadline: Deadline
    ) -> list[Assessment | Exception]:
        """Gather, then score what could be gathered.

        Raises:
            RungError: features cannot be used.
        """
        gathered = await self._features.read(attempts, deadline)
        rows = [row for row in gathered if not isinstance(row, Exception)]
        try:
            scores = iter(self._scorer.score(rows, deadline) if rows else ())
        except Exception as error:  # noqa: BLE001 - of those that were to be scored
            return [row if isinstance(row, Exception) else error for row in gathered]
        return [
            row if isinstance(row, Exception) else _assessment(row, next(scores))
            for row in gathered
        ]


def _assessment(row: object, scored: Scored) -> Assessment:
    probability = scored.probability
    return Assessment(
        score=probability,
        action=None,
        ranking=probability,
        detail={"row": row, "scored": scored},
    )
