"""How well a rung ranks, in the terms of the field.

Card precision follows the protocol of Le Borgne et al., *Reproducible Machine Learning for Credit
Card Fraud Detection*, chapter 4: each day the 100 most suspicious cards are looked at, and a card
that turned out compromised is not looked at again on the days after.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s

__all__ = ["METRICS", "RankCurve", "card_precision", "rank_metrics"]

CARDS_A_DAY = 100
PRECISION_FLOOR = 0.20
RECALL_FLOOR = 0.75
METRICS = (
    "average_precision",
    "roc_auc",
    "card_precision_at_100",
    "recall_at_precision_20",
    "precision_at_recall_75",
)

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class RankCurve:
    """A ranking, sorted once, so that days can be weighed again and again."""

    def __init__(self, ranking: Float64s, fraud: Bools, day: Int64s) -> None:
        """Sort the attempts.

        Args:
            ranking: suspicion, higher is worse, shape (attempts,).
            fraud: the truth.
            day: day of each attempt.
        """
        order = np.argsort(-ranking, kind="stable")
        self._fraud, self._ranking = fraud[order], ranking[order]
        # Attempts of equal rank stand or fall together.
        self._ends = np.append(np.flatnonzero(np.diff(self._ranking) != 0), len(order) - 1)
        self.days, self._day = np.unique(day[order], return_inverse=True)

    def points(self, weights: Float64s | None = None) -> tuple[Float64s, Float64s, Float64s]:
        """Precision, recall and false positive rate at each threshold, the highest first.

        Args:
            weights: how often each of `days` counts; by default once.
        """
        weigh = (np.ones(len(self.days)) if weights is None else weights)[self._day]
        found = np.cumsum(weigh * self._fraud)[self._ends]
        asked = np.cumsum(weigh)[self._ends]
        false = asked - found
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(asked > 0, found / asked, 1.0)
            return precision, found / found[-1], false / false[-1]

    def alert_from(self) -> float:
        """The lowest ranking from which on precision is 20 % or more; infinite if there is none."""
        precision, _, _ = self.points()
        enough = np.flatnonzero(precision >= PRECISION_FLOOR)
        return float(self._ranking[self._ends[enough[-1]]]) if len(enough) else np.inf

    def metrics(self, weights: Float64s | None = None) -> tuple[float, float, float, float]:
        """Average precision, area under the ROC curve, recall and precision beside a floor.

        The recall is the best at a precision of at least 20 %, the precision the best at a recall
        of at least 75 %. All are NaN where no fraud, or nothing but fraud, counts.
        """
        precision, recall, false = self.points(weights)
        average = float(np.sum(np.diff(recall, prepend=0.0) * precision))
        area = float(np.trapezoid(np.append(0.0, recall), np.append(0.0, false)))
        enough = recall[precision >= PRECISION_FLOOR]
        found = precision[recall >= RECALL_FLOOR]
        return (
            average,
            area,
            float(enough.max(initial=0.0)),
            float(found.max()) if len(found) else float("nan"),
        )


def rank_metrics(
    ranking: Float64s, fraud: Bools, *, day: Int64s, card: Int64s
) -> Mapping[str, float]:
    """Metrics of a ranking.

    Args:
        ranking: suspicion, higher is worse, shape (attempts,).
        fraud: the truth.
        day: day of each attempt.
        card: card of each attempt, as a number.

    Returns:
        `average_precision`, `roc_auc`, `card_precision_at_100` (mean over days of the share of
        compromised cards among the 100 most suspicious ones of the day),
        `recall_at_precision_20` (best recall at a precision of at least 20 %) and
        `precision_at_recall_75` (best precision at a recall of at least 75 %).
    """
    average, area, *floors = RankCurve(ranking, fraud, day).metrics()
    by_day = card_precision(ranking, fraud, day=day, card=card)
    return dict(zip(METRICS, (average, area, float(by_day.mean()), *floors), strict=True))


def card_precision(ranking: Float64s, fraud: Bools, *, day: Int64s, card: Int64s) -> Float64s:
    """Card precision at 100 of each day, in order, shape (days,)."""
    shares = []
    found = np.empty(0, dtype=np.int64)
    for today in np.unique(day):
        rows = np.flatnonzero((day == today) & ~np.isin(card, found))
        cards, index = np.unique(card[rows], return_inverse=True)
        worst = np.full(len(cards), -np.inf)
        np.maximum.at(worst, index, ranking[rows])
        compromised = np.zeros(len(cards), dtype=bool)
        np.logical_or.at(compromised, index, fraud[rows])
        top = np.argsort(-worst, kind="stable")[:CARDS_A_DAY]
        shares.append(compromised[top].sum() / CARDS_A_DAY)
        found = np.concatenate([found, cards[top][compromised[top]]])
    return np.array(shares)
