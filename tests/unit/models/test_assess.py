"""Reliability by hand, and intervals that come from drawing whole days."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.models.training.assess import FIGURES, Ranked, Sample, assess, interval, reliability
from app.models.training.costs import APPROVE, DECLINE, STEP_UP, CostTable

ROWS, DAYS = 2_000, 7


def sample(fraud):
    rows = len(fraud)
    return Sample(
        fraud=fraud,
        day=np.arange(rows) % DAYS,
        card=np.arange(rows) % 300,
        segments={"half": {"first": np.arange(rows) < rows // 2, "none": np.zeros(rows, bool)}},
        costs=CostTable(
            cost=np.ones((rows, 3)),
            step_up=np.full(rows, 0.2),
            decline=np.full(rows, 0.8),
            tier=np.full(rows, "unknown"),
            amount=np.full(rows, 100.0),
            through=np.outer(fraud, (100.0, 10.0, 0.0)),
            stopped=np.outer(~fraud, (0.0, 20.0, 100.0)),
        ),
    )


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(4)
    fraud = rng.random(ROWS) < 0.05
    probability = np.clip(rng.normal(0.1 + 0.3 * fraud, 0.1), 0, 1)
    made = sample(fraud)
    actions = made.costs.actions(probability)
    ranked = Ranked(ranking=probability, actions=actions, probability=probability)
    return made, ranked, *assess(made, ranked, seed=3)


def test_the_interval_holds_what_was_measured(measured):
    _, _, said, draws = measured
    bounds = interval([draws])
    for name in FIGURES:
        low, high = bounds[name]
        assert low <= said[name] <= high, name
    assert bounds["average_precision"][0] < bounds["average_precision"][1]


def test_the_same_seed_draws_the_same_days(measured):
    made, ranked, _, draws = measured
    assert (assess(made, ranked, seed=3)[1] == draws).all()
    assert not (assess(made, ranked, seed=4)[1] == draws).all()


def test_a_segment_has_its_own_figures_and_one_without_fraud_has_none(measured):
    made, _, said, _ = measured
    first, none = said["segments"]["half"]["first"], said["segments"]["half"]["none"]
    assert (first["attempts"], first["fraud"]) == (1_000, int(made.fraud[:1_000].sum()))
    assert first["average_precision"] != said["average_precision"]
    assert (none.pop("attempts"), none.pop("fraud")) == (0, 0)
    assert set(none.values()) == {None}


def test_a_segment_says_what_part_of_its_fraud_is_stopped_and_what_part_is_among_the_alerts():
    fraud = np.array([True, True, True, False, False, False, False, False, False, False, True])
    ranking = np.array([0.9, 0.85, 0.3, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2, 0.1, 0.05])
    made = replace(
        sample(fraud), segments={"pattern": {"one": fraud & (ranking > 0.5), "two": fraud}}
    )
    actions = np.array([DECLINE, APPROVE, STEP_UP, *[APPROVE] * 8], dtype=np.int8)
    said, _ = assess(made, Ranked(ranking=ranking, actions=actions), seed=3)
    one, two = (said["segments"]["pattern"][name] for name in ("one", "two"))
    assert (one["recall"], two["recall"]) == (0.5, 0.5)
    # Four frauds of eleven attempts are more than 20 %, so everything is an alert.
    assert (one["recall_at_precision_20"], two["recall_at_precision_20"]) == (1.0, 1.0)
    assert said["recall"] == two["recall"]
    assert said["recall_at_precision_20"] == two["recall_at_precision_20"]


def test_alerts_end_where_precision_falls_below_a_fifth_for_good():
    fraud = np.zeros(100, bool)
    fraud[[0, 9, 60]] = True
    ranking = np.linspace(1, 0, 100)
    made = replace(sample(fraud), segments={"pattern": {"all": fraud}})
    said, _ = assess(made, Ranked(ranking=ranking, actions=np.zeros(100, np.int8)), seed=3)
    assert said["segments"]["pattern"]["all"]["recall_at_precision_20"] == pytest.approx(2 / 3)
    hopeless, _ = assess(made, Ranked(ranking=-ranking, actions=np.zeros(100, np.int8)), seed=3)
    assert hopeless["segments"]["pattern"]["all"]["recall_at_precision_20"] == 0


def test_reliability_of_four_attempts_by_hand():
    found = reliability(np.array([0.2, 0.2, 0.7, 0.9]), np.array([False, True, True, True]))
    assert found["ece"] == pytest.approx(0.5 * abs(0.2 - 0.5) + 0.5 * abs(0.8 - 1.0))
    assert found["brier"] == pytest.approx((0.04 + 0.64 + 0.09 + 0.01) / 4)
    assert [one["attempts"] for one in found["bins"]] == [2, 2]


def test_a_rung_without_scores_has_no_calibration(measured):
    made, ranked, _, _ = measured
    said, _ = assess(made, Ranked(ranking=ranked.ranking, actions=ranked.actions), seed=3)
    assert said["calibration"] is None
    assert "decline_above_half_minor" not in said["cost"]
