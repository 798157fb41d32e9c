"""The two upper rungs: gather features, score them. `full` and `batch` differ in what they read."""

from __future__ import annotations

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
    """Gathers a model's inputs. Raises `RungError` when it cannot."""

    async def read(self, attempt: AttemptT_contra, deadline: Deadline, /) -> RowT_co:
        """The row of one attempt."""
        ...


class Scored(Protocol):
    """What a scorer says of a row."""

    @property
    def probability(self) -> float:
        """Calibrated probability of fraud, in [0, 1]."""
        ...


class Scorer(Protocol[RowT_contra]):
    """Scores a row. Raises `RungError` when it cannot."""

    async def score(self, row: RowT_contra, deadline: Deadline, /) -> Scored:
        """The score of one row."""
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

    async def assess(self, attempt: AttemptT, deadline: Deadline) -> Assessment:
        """Gather, then score.

        Raises:
            RungError: features or model cannot be used.
        """
        row = await self._features.read(attempt, deadline)
        scored = await self._scorer.score(row, deadline)
        return Assessment(
            score=scored.probability,
            action=None,
            ranking=scored.probability,
            detail={"row": row, "scored": scored},
        )
