"""Scoring on the decision path: rows of attempts that begin together in one CatBoost call.

In this thread: a hop costs more than a single row gains, and a batch of 32 is evaluated for 13 us
a row against 108 for one. Each model has a breaker: a model that raises or turns slow is stepped
over like any other dependency.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from catboost import CatBoostError

from app.features.vector import Row, stacked
from app.models.artifact import Artifact, RungModel
from fallback.breaker import Breaker
from fallback.deadline import Deadline
from fallback.errors import DeadlineNear, DependencyCorrupt, DependencyUnavailable, ModelUnavailable
from fallback.rung import RungName

__all__ = ["ModelScore", "ModelScorer"]

ROWS_MAX = 32


class ModelScore(msgspec.Struct, frozen=True):
    """A row's score.

    Attributes:
        probability: calibrated, in [0, 1].
        raw: log odds as the model gave it.
        artifact: that scored.
        evaluator: that computed it, with its version.
    """

    probability: float
    raw: float
    artifact: Artifact
    evaluator: str


class ModelScorer:
    """Scores rows with one model of the artifact in force."""

    def __init__(
        self,
        rung: RungName,
        *,
        artifact: Callable[[], Artifact | None],
        breaker: Breaker,
        needed_ms: float = 2.0,
    ) -> None:
        """Make a scorer.

        Args:
            rung: `full` or `batch`.
            artifact: the artifact in force; None while there is none that may decide.
            breaker: the model's own.
            needed_ms: with less than this left, scoring is not begun.
        """
        self.breaker = breaker
        self._rung = rung
        self._artifact = artifact
        self._needed_ms = needed_ms

    def score(self, rows: Sequence[Row], deadline: Deadline) -> list[ModelScore]:
        """Score rows, at most `ROWS_MAX` a call of the model.

        Raises:
            DeadlineNear: too little time is left.
            ModelUnavailable: there is no model that may decide.
            DependencyError: the model raised, or gave what is not a score.
        """
        if not deadline.allows(self._needed_ms):
            raise DeadlineNear("no time left to score")
        if len(rows) <= ROWS_MAX:
            return self._score(rows)
        parts = [rows[at : at + ROWS_MAX] for at in range(0, len(rows), ROWS_MAX)]
        return [score for part in parts for score in self._score(part)]

    def _score(self, rows: Sequence[Row]) -> list[ModelScore]:
        artifact = self._artifact()
        if artifact is None:
            raise ModelUnavailable("there is no model that may decide")
        model: RungModel = artifact.full if self._rung is RungName.FULL else artifact.batch
        numbers = stacked([row.numbers for row in rows])
        categories = [row.categories for row in rows]
        with self.breaker.call():
            try:
                raws = model.served(numbers, categories)
            except (CatBoostError, TypeError, ValueError) as error:
                raise DependencyUnavailable(str(error), dependency=self.breaker.name) from error
            if not np.isfinite(raws).all():
                raise DependencyCorrupt("a score is not a number", dependency=self.breaker.name)
        calibrated = model.facts.calibration.probability
        evaluator = model.evaluator
        return [ModelScore(calibrated(raw), raw, artifact, evaluator) for raw in raws.tolist()]
