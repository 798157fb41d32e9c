"""What a rung is worth on given attempts: ranking, calibration, price and cost, by segment.

Intervals are bootstrap intervals over days: fraud comes in campaigns, so attempts of one day are
not independent and days are drawn whole, with replacement. 95 %, percentile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s
from app.models.training.costs import APPROVE, CostTable
from app.models.training.metrics import METRICS, RankCurve, card_precision
from app.models.training.prices import PRICES, Prices

__all__ = ["DRAWS", "FIGURES", "Ranked", "Sample", "assess", "interval", "reliability"]

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DRAWS = 200
# What has an interval.
FIGURES = (*METRICS, *PRICES)
# Probabilities of fraud are small, so bins of equal width would hold all attempts in the first.
BIN_EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Attempts to measure on.

    Attributes:
        fraud: the truth, shape (attempts,).
        day: of receipt.
        card: as a number.
        segments: masks by kind of segment and name.
        costs: what each action costs at each attempt.
    """

    fraud: Bools
    day: Int64s
    card: Int64s
    segments: Mapping[str, Mapping[str, Bools]]
    costs: CostTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """What a rung says of the attempts of a sample.

    Attributes:
        ranking: suspicion, higher is worse, shape (attempts,).
        actions: `app.models.training.costs` numbers, what policy or the rung itself does.
        probability: calibrated; None of rungs without a score.
    """

    ranking: Float64s
    actions: npt.NDArray[np.int8]
    probability: Float64s | None = None


def assess(
    sample: Sample, ranked: Ranked, *, seed: int
) -> tuple[dict[str, Any], npt.NDArray[np.float64]]:
    """Measure a rung.

    Args:
        sample: the attempts.
        ranked: what the rung says of them.
        seed: of the drawing of days; the same one draws the same days for every rung.

    Returns:
        `FIGURES`, `calibration` (None without scores), `approve_all` (`PRICES` of doing nothing),
        `cost` and `segments`, as `--json` prints them; and the figures of each draw of days, shape
        (draws, figures).
    """
    curve = RankCurve(ranked.ranking, sample.fraud, sample.day)
    cards = card_precision(ranked.ranking, sample.fraud, day=sample.day, card=sample.card)
    prices = Prices(sample.costs, ranked.actions, fraud=sample.fraud, day=sample.day)
    average, area, *floors = curve.metrics()
    measured = (average, area, float(cards.mean()), *floors, *prices.figures())
    days = len(cards)
    picks = np.random.default_rng(seed).integers(0, days, (DRAWS, days))
    draws = np.empty((DRAWS, len(FIGURES)))
    for at, pick in enumerate(picks):
        weights = np.bincount(pick, minlength=days).astype(np.float64)
        one, two, *others = curve.metrics(weights)
        draws[at] = one, two, float(cards[pick].mean()), *others, *prices.figures(weights)
    said: dict[str, Any] = dict(zip(FIGURES, measured, strict=True))
    probability = ranked.probability
    said["calibration"] = None if probability is None else reliability(probability, sample.fraud)
    nothing = np.full(len(ranked.actions), APPROVE, dtype=np.int8)
    said["approve_all"] = Prices(sample.costs, nothing, fraud=sample.fraud, day=sample.day).said()
    said["cost"] = sample.costs.said(ranked.actions, probability)
    alert = ranked.ranking >= curve.alert_from()
    said["segments"] = {
        kind: {name: _segment(sample, ranked, mask, alert) for name, mask in masks.items()}
        for kind, masks in sample.segments.items()
    }
    return said, draws


def interval(draws: Sequence[npt.NDArray[np.float64]]) -> dict[str, list[float]]:
    """Bounds by metric, from the draws of one or several samples (their mean is measured)."""
    mean = np.mean(np.stack(draws), axis=0)
    low, high = np.nanquantile(mean, [0.025, 0.975], axis=0)
    return {name: [float(low[at]), float(high[at])] for at, name in enumerate(FIGURES)}


def reliability(probability: Float64s, fraud: Bools) -> dict[str, Any]:
    """How far probabilities can be taken at their word.

    Args:
        probability: calibrated, shape (attempts,).
        fraud: the truth.

    Returns:
        `ece` (expected calibration error: mean over bins, by attempts, of the distance between
        mean probability and share of fraud), `brier` and `bins`.
    """
    place = np.searchsorted(BIN_EDGES, probability, side="right")
    bins, error = [], 0.0
    for at in range(len(BIN_EDGES) + 1):
        rows = place == at
        if not rows.any():
            continue
        mean, share = float(probability[rows].mean()), float(fraud[rows].mean())
        bins.append({"attempts": int(rows.sum()), "probability": mean, "fraud": share})
        error += rows.mean() * abs(mean - share)
    squares = (probability - fraud) ** 2
    return {"ece": float(error), "brier": float(squares.mean()), "bins": bins}


def _segment(
    sample: Sample, ranked: Ranked, mask: Bools, alert: Bools
) -> dict[str, float | int | None]:
    """Counts, ranking within a segment, and what part of its fraud is caught.

    There is no ranking where it holds no fraud, or nothing else. Caught is what the rung's actions
    do not approve, and what is among the alerts: all attempts from the lowest ranking on that
    keeps the precision over all segments at 20 %.
    """
    fraud = sample.fraud[mask]
    found: dict[str, float | int | None] = {
        "attempts": len(fraud),
        "fraud": int(fraud.sum()),
        "average_precision": None,
        "roc_auc": None,
        "recall": None,
        "recall_at_precision_20": None,
    }
    if fraud.any():
        found["recall"] = float((ranked.actions[mask] != APPROVE)[fraud].mean())
        found["recall_at_precision_20"] = float(alert[mask][fraud].mean())
    if 0 < fraud.sum() < len(fraud):
        curve = RankCurve(ranked.ranking[mask], fraud, sample.day[mask])
        found["average_precision"], found["roc_auc"], *_ = curve.metrics()
    return found
