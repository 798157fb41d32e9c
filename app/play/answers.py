"""What a service answered to the attempts that were played."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.models.training.costs import APPROVE, action_number
from fallback.rung import Action, RungName

__all__ = ["SCORED", "Answers", "Verdicts"]

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SCORED = frozenset({RungName.FULL, RungName.BATCH})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What was said of attempts, by row of the script's history.

    Attributes:
        score: NaN where there is none.
        action: number of the action, as `app.models.training.costs` has them; NaN without answer.
    """

    score: Float64s
    action: Float64s

    @classmethod
    def none(cls, rows: int) -> Verdicts:
        """Nothing said yet."""
        return cls(score=np.full(rows, np.nan), action=np.full(rows, np.nan))

    def told(self, rung: RungName) -> Float64s:
        """What a rung's answers can be compared and ranked by: the score, else the action."""
        return self.score if rung in SCORED else self.action

    def ranking(self, rung: RungName) -> Float64s:
        """Suspicion, higher is worse; where nothing is told the attempt is ranked last."""
        return np.nan_to_num(self.told(rung), nan=0.0)

    @property
    def stopped(self) -> Bools:
        """Which attempts were not approved; one without an answer was not stopped."""
        return np.asarray(self.action > APPROVE)


@dataclass(slots=True)
class Answers:
    """What came back.

    Attributes:
        verdicts: by row.
        rungs: how many were answered by each.
        latency_ms: of each answer.
        failed: why, and how many.
        labels: taken.
        outcomes: taken.
        effects: that these lead to.
    """

    verdicts: Verdicts
    rungs: Counter[str] = field(default_factory=Counter)
    latency_ms: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    outcomes: int = 0
    effects: int = 0

    def decided(
        self, row: int, *, rung: str, action: Action, score: float | None, latency_ms: float
    ) -> None:
        """Keep the answer to one attempt."""
        self.rungs[rung] += 1
        self.latency_ms.append(latency_ms)
        self.verdicts.action[row] = action_number(action)
        if score is not None:
            self.verdicts.score[row] = score
