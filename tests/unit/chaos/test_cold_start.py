"""Cold start: figures of segments, and what goes over to the peers."""

from __future__ import annotations

import numpy as np
import pytest

from app.errors import OperatorError
from chaos.bench.cold_start import Ranking, compared
from chaos.bench.cold_start_peers import _codes, ensure_peers

ROWS = 700


def ranking(*, cold_fraud=20):
    """A week where CatBoost ranks all fraud first, XGBoost does not, and LightGBM not at all."""
    rng = np.random.default_rng(5)
    fraud = np.arange(ROWS) % 14 == 0
    cold = np.zeros(ROWS, dtype=bool)
    cold[np.flatnonzero(fraud)[:cold_fraud]] = True
    cold[np.flatnonzero(~fraud)[:100]] = True
    return Ranking(
        fraud=fraud,
        day=np.arange(ROWS) % 7,
        cold={"merchant": cold},
        scores={
            "catboost": fraud + 0.1 * rng.random(ROWS),
            "xgboost": fraud + 1.5 * rng.random(ROWS),
            "lightgbm": rng.random(ROWS),
        },
    )


def test_each_segment_counts_its_own_attempts_and_fraud():
    found = compared(ranking(), seed=1)
    assert (found["all"]["attempts"], found["all"]["fraud"]) == (ROWS, 50)
    assert (found["merchant"]["attempts"], found["merchant"]["fraud"]) == (120, 20)


def test_a_model_that_ranks_better_is_ahead_by_an_interval_above_zero():
    models = compared(ranking(), seed=1)["all"]["models"]
    assert models["catboost"]["average_precision"] == 1.0
    assert models["xgboost"]["catboost_ahead"][0] > 0
    assert models["lightgbm"]["average_precision"] < models["xgboost"]["average_precision"]


def test_a_model_that_ranks_worse_is_told_as_behind():
    turned = ranking()
    turned.scores["catboost"], turned.scores["xgboost"] = (
        turned.scores["lightgbm"],
        turned.scores["catboost"],
    )
    assert compared(turned, seed=1)["all"]["models"]["xgboost"]["catboost_ahead"][1] < 0


def test_the_interval_holds_what_was_measured():
    for figures in compared(ranking(), seed=1)["merchant"]["models"].values():
        for what in ("average_precision", "recall_at_precision_20"):
            low, high = figures[f"{what}_interval"]
            assert low <= figures[what] <= high


def test_of_a_segment_with_hardly_any_fraud_only_the_counts_are_said():
    assert compared(ranking(cold_fraud=4), seed=1)["merchant"] == {"attempts": 104, "fraud": 4}


def test_weeks_are_put_end_to_end():
    one = Ranking()
    one.add(ranking())
    one.add(ranking())
    assert len(one.fraud) == len(one.scores["xgboost"]) == len(one.cold["merchant"]) == 2 * ROWS


def test_a_category_that_fitting_never_saw_has_no_number():
    words = [np.array([b"FR", b"US"], dtype=object), np.array([b"pos"], dtype=object)]
    seen = np.array([[b"US", b"pos"], [b"AQ", b"zzz"], [b"FR", b"moto"]], dtype=object)
    assert _codes(seen, words).tolist() == [[1, 0], [-1, -1], [0, -1]]


def test_where_no_environment_can_be_made_one_sentence_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    lock = tmp_path / "peers.lock"
    lock.write_text("")
    with pytest.raises(OperatorError, match="no environment for XGBoost and LightGBM can be made"):
        ensure_peers(blocked / "peers", lambda _what: None, lock=lock)
