"""How well a rung ranks, in the terms of the field."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from app.features.rings import Int64s

__all__ = ["rank_metrics"]

CARDS_A_DAY = 100
PRECISION_FLOOR = 0.20


def rank_metrics(
    ranking: npt.NDArray[np.float64],
    fraud: npt.NDArray[np.bool_],
    *,
    day: Int64s,
    card: Int64s,
) -> Mapping[str, float]:
    """Metrics of a ranking.

    Args:
        ranking: suspicion, higher is worse, shape (attempts,).
        fraud: the truth.
        day: day of each attempt.
        card: card of each attempt, as a number.

    Returns:
        `average_precision`, `roc_auc`, `card_precision_at_100` (mean over days of the share of
        compromised cards among the 100 most suspicious ones of the day; protocol of the Fraud
        Detection Handbook, chapter 4) and `recall_at_precision_20` (best recall at a precision of
        at least 20 %).
    """
    precision, recall, _ = precision_recall_curve(fraud, ranking)
    enough = recall[precision >= PRECISION_FLOOR]
    return {
        "average_precision": float(average_precision_score(fraud, ranking)),
        "roc_auc": float(roc_auc_score(fraud, ranking)),
        "card_precision_at_100": _card_precision(ranking, fraud, day, card),
        "recall_at_precision_20": float(enough.max(initial=0.0)),
    }


def _card_precision(
    ranking: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_], day: Int64s, card: Int64s
) -> float:
    shares = []
    for today in np.unique(day):
        rows = np.flatnonzero(day == today)
        cards, index = np.unique(card[rows], return_inverse=True)
        worst = np.full(len(cards), -np.inf)
        np.maximum.at(worst, index, ranking[rows])
        compromised = np.zeros(len(cards), dtype=bool)
        np.logical_or.at(compromised, index, fraud[rows])
        top = np.argsort(-worst, kind="stable")[:CARDS_A_DAY]
        shares.append(compromised[top].sum() / CARDS_A_DAY)
    return float(np.mean(shares))
