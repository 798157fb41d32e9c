"""Scores become probabilities by the better of two ways, judged on days neither has seen."""

import numpy as np
import pytest

from app.models.artifact import Calibration
from app.models.training.calibrate import calibrate, log_loss, probabilities

DAYS = 10


def drawn(odds_of, rows=40_000):
    """Raw scores, and fraud drawn with the log odds that `odds_of` makes of them."""
    rng = np.random.default_rng(5)
    raw = rng.normal(-1, 3, rows)
    fraud = rng.random(rows) < 1 / (1 + np.exp(-odds_of(raw)))
    return raw, fraud, np.arange(rows) % DAYS


def test_beta_is_taken_where_low_and_high_scores_need_different_slopes():
    raw, fraud, day = drawn(lambda raw: np.where(raw < 0, 0.3 * raw, 1.5 * raw))
    chosen = calibrate(raw, fraud, day)
    assert chosen.method == "beta"
    assert chosen.log_loss["beta"] < chosen.log_loss["platt"]
    assert chosen.calibration.slope < chosen.calibration.slope_high


def test_what_is_taken_has_the_lower_loss_and_finds_the_true_odds():
    raw, fraud, day = drawn(lambda raw: 0.7 * raw - 0.5)
    chosen = calibrate(raw, fraud, day)
    assert chosen.method == min(chosen.log_loss, key=chosen.log_loss.get)
    true = 1 / (1 + np.exp(-(0.7 * raw - 0.5)))
    assert np.abs(probabilities(chosen.calibration, raw) - true).max() < 0.03


def test_days_too_few_to_compare_are_calibrated_by_platt():
    raw, fraud, _ = drawn(lambda raw: raw)
    chosen = calibrate(raw, fraud, np.zeros(len(raw), dtype=np.int64))
    assert (chosen.method, chosen.log_loss) == ("platt", {})
    assert chosen.calibration.slope_high is None


def test_a_higher_score_is_never_a_lower_probability():
    raw, fraud, day = drawn(lambda raw: np.where(raw < 0, -0.5 * raw, 1.5 * raw))
    probability = probabilities(calibrate(raw, fraud, day).calibration, np.sort(raw))
    assert (np.diff(probability) >= 0).all()


def test_beta_with_two_equal_slopes_is_platt():
    platt = Calibration(slope=1.3, intercept=-0.4)
    beta = Calibration(slope=1.3, slope_high=1.3, intercept=-0.4)
    for raw in (-800.0, -3.0, 0.0, 2.5, 800.0):
        assert beta.probability(raw) == pytest.approx(platt.probability(raw))


def test_log_loss_of_two_attempts_by_hand():
    found = log_loss(np.array([0.8, 0.4]), np.array([True, False]))
    assert found == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
