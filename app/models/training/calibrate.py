"""From raw scores to probabilities: Platt or beta, whichever predicts better.

    platt   log odds = slope * raw + intercept
    beta    log odds = slope * ln s - slope_high * ln(1 - s) + intercept,  s = 1 / (1 + exp(-raw))

Beta has a slope of its own for low and for high scores and is Platt where the two are equal, so
on the days it was fitted on it always wins. They are compared on days that neither has seen:
fitted on every other day, measured by log loss on the ones between, and the better one is fitted
again on all. Merchant tiers are pooled: a tier alone has too few frauds.

Sources: Platt 1999; Kull, Silva Filho and Flach, "Beta calibration", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from app.features.rings import Int64s
from app.models.artifact import Calibration

__all__ = ["Chosen", "calibrate", "log_loss", "probabilities"]

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A calibration, and why it was chosen.

    Attributes:
        calibration: fitted on all calibration days.
        method: "platt" or "beta".
        log_loss: of each method on the days that it had not seen; empty where the days were too
            few to compare, and Platt was taken.
    """

    calibration: Calibration
    method: str
    log_loss: dict[str, float]


def calibrate(raw: Float64s, fraud: Bools, day: Int64s) -> Chosen:
    """Fit both and choose.

    Args:
        raw: log odds as the model gave them, shape (attempts,).
        fraud: what was known of them; both kinds must be there.
        day: day of each attempt.
    """
    fits = {"platt": _platt, "beta": _beta}
    seen = np.searchsorted(np.unique(day), day) % 2 == 0
    losses: dict[str, float] = {}
    if all(0 < fraud[part].sum() < part.sum() for part in (seen, ~seen)):
        for name, fit in fits.items():
            fitted = fit(raw[seen], fraud[seen])
            losses[name] = log_loss(probabilities(fitted, raw[~seen]), fraud[~seen])
    method = min(losses, key=lambda name: losses[name]) if losses else "platt"
    return Chosen(calibration=fits[method](raw, fraud), method=method, log_loss=losses)


def probabilities(calibration: Calibration, raw: Float64s) -> Float64s:
    """Calibrated probabilities of many raw scores, as `Calibration.probability` gives them."""
    return np.array([calibration.probability(one) for one in raw.tolist()])


def log_loss(probability: Float64s, fraud: Bools) -> float:
    """Mean negative log likelihood, with probabilities kept a hair away from 0 and 1."""
    kept = np.clip(probability, 1e-12, 1 - 1e-12)
    return float(-np.mean(np.where(fraud, np.log(kept), np.log1p(-kept))))


def _platt(raw: Float64s, fraud: Bools) -> Calibration:
    fit = LogisticRegression(C=1e6).fit(raw.reshape(-1, 1), fraud)
    return Calibration(slope=float(fit.coef_[0, 0]), intercept=float(fit.intercept_[0]))


def _beta(raw: Float64s, fraud: Bools) -> Calibration:
    low, high = -np.logaddexp(0.0, -raw), np.logaddexp(0.0, raw)
    fit = LogisticRegression(C=1e6).fit(np.stack([low, high], axis=1), fraud)
    slope, slope_high = (float(one) for one in fit.coef_[0])
    if min(slope, slope_high) < 0:  # a higher score must never become a lower probability
        return _platt(raw, fraud)
    return Calibration(slope=slope, slope_high=slope_high, intercept=float(fit.intercept_[0]))
