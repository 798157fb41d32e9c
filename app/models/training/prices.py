"""What a rung costs those who rely on it: fraud let through and good payments stopped, by value.

Over attempts of value A, with what the rung's actions do at each:

    recall                          share of the fraudulent attempts that are not approved
    fraud_let_through_per_million   10^6 sum(A, fraudulent, let through) / sum(A)
    good_stopped_per_million        10^6 sum(A, good, stopped) / sum(A)
    cost_per_million                10^6 sum(cost) / sum(A), the costs being those of the policy

A challenge lets a share of the fraud through and stops a share of the good (`app.policy` has both).
Being ratios of sums they are in the reference currency and in its minor units alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s
from app.models.training.costs import APPROVE, Actions, CostTable, taken

__all__ = ["PRICES", "Prices"]

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

PRICES = (
    "recall",
    "fraud_let_through_per_million",
    "good_stopped_per_million",
    "cost_per_million",
)
MILLION = 1e6


class Prices:
    """What actions led to, summed once a day, so that days can be weighed again and again."""

    def __init__(self, costs: CostTable, actions: Actions, *, fraud: Bools, day: Int64s) -> None:
        """Sum up.

        Args:
            costs: of the attempts.
            actions: taken, shape (attempts,).
            fraud: the truth.
            day: of each attempt.
        """
        _, place = np.unique(day, return_inverse=True)
        columns = (
            fraud & (actions != APPROVE),
            fraud,
            taken(costs.through, actions),
            taken(costs.stopped, actions),
            taken(costs.cost, actions),
            costs.amount,
        )
        self._sums: Float64s = np.stack([np.bincount(place, weights=one) for one in columns])

    def figures(self, weights: Float64s | None = None) -> tuple[float, float, float, float]:
        """`PRICES`; NaN where nothing counts that they are shares of.

        Args:
            weights: how often each day counts, in their order; by default once.
        """
        sums = self._sums.sum(axis=1) if weights is None else self._sums @ weights
        caught, fraud, through, stopped, cost, value = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            per_million = MILLION / value
            return (
                float(caught / fraud),
                float(through * per_million),
                float(stopped * per_million),
                float(cost * per_million),
            )

    def said(self) -> dict[str, float]:
        """The figures by name."""
        return dict(zip(PRICES, self.figures(), strict=True))
