"""A model in shadow: it scores what live traffic was scored on, and decides nothing.

It is an artifact like the one in force, published in a folder of its own (`published/shadow`), and
may be one of simulated data in any profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.candidate import Candidate
from app.features.vector import BatchFeatures, Row
from app.models.artifact import Artifact
from app.models.scorer import ModelScorer
from app.publish import Published
from fallback.deadline import Deadline
from fallback.errors import ModelUnavailable, SourceUnavailable
from fallback.rung import RungName

__all__ = ["Shadow", "Shadowed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """What the shadow says of an attempt.

    Attributes:
        version: of the artifact.
        rung: whose model of the artifact it was, `full` or `batch`.
        score: calibrated probability of fraud, in [0, 1].
    """

    version: str
    rung: RungName
    score: float


class Shadow:
    """The shadow of one process, if there is one.

    Args:
        model: what is published as shadow.
        scorers: of its two models, with breakers of their own.
        batch: reads the row of an attempt that no model scored.
    """

    def __init__(
        self,
        model: Published[Artifact],
        *,
        scorers: Mapping[RungName, ModelScorer],
        batch: BatchFeatures,
    ) -> None:
        self._model = model
        self._scorers = scorers
        self._batch = batch

    @property
    def there(self) -> bool:
        """Whether there is one."""
        return self._model.value is not None

    def score(self, candidate: Candidate, row: Row | None, deadline: Deadline) -> Shadowed:
        """Score an attempt, on the row that the live model saw.

        Args:
            candidate: the attempt.
            row: as the live model saw it; where none did, the batch row is read now.
            deadline: of this work.

        Raises:
            RungError: the shadow is gone or cannot score this row.
        """
        artifact = self._model.value
        if artifact is None:
            raise ModelUnavailable("the shadow was withdrawn")
        if row is None:
            (read,) = self._batch.rows([candidate])
            if isinstance(read, Exception):
                raise read
            row = read
        rung = RungName.BATCH
        if row.streaming is not None:
            rung = RungName.FULL
            # The live model may have been trained to do without what this one needs.
            if missing := row.streaming.missing.difference(artifact.facts.masked):
                raise SourceUnavailable(f"counters are missing for {', '.join(sorted(missing))}")
        (scored,) = self._scorers[rung].score([row], deadline)
        return Shadowed(version=scored.artifact.version, rung=rung, score=scored.probability)
