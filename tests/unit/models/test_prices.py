"""What a rung's actions let through and stop, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from app.models.training.costs import APPROVE, DECLINE, STEP_UP, CostTable
from app.models.training.prices import PRICES, Prices

# Two days of two attempts; value 100, 300 on the first day and 200, 400 on the second.
FRAUD = np.array([True, False, True, False])
DAY = np.array([5, 5, 6, 6])
VALUE = np.array([100.0, 300.0, 200.0, 400.0])
COSTS = CostTable(
    cost=np.outer(VALUE, (1.0, 0.5, 0.25)),
    step_up=np.zeros(4),
    decline=np.zeros(4),
    tier=np.full(4, "unknown"),
    amount=VALUE,
    through=np.outer(FRAUD * VALUE, (1.0, 0.1, 0.0)),
    stopped=np.outer(~FRAUD * VALUE, (0.0, 0.2, 1.0)),
)


def prices(*actions):
    return Prices(COSTS, np.array(actions, dtype=np.int8), fraud=FRAUD, day=DAY)


def test_to_approve_all_lets_all_fraud_through_and_stops_nothing():
    assert prices(*[APPROVE] * 4).said() == {
        "recall": 0.0,
        "fraud_let_through_per_million": pytest.approx(300_000),
        "good_stopped_per_million": 0.0,
        "cost_per_million": pytest.approx(1_000_000),
    }


def test_a_challenge_counts_as_caught_and_lets_a_share_of_either_pass():
    recall, through, stopped, cost = prices(STEP_UP, STEP_UP, APPROVE, DECLINE).figures()
    assert recall == 0.5
    assert through == pytest.approx(1e6 * (10 + 200) / 1_000)
    assert stopped == pytest.approx(1e6 * (60 + 400) / 1_000)
    assert cost == pytest.approx(1e6 * (50 + 150 + 200 + 100) / 1_000)


def test_days_count_as_often_as_they_are_drawn():
    of = prices(DECLINE, APPROVE, APPROVE, APPROVE)
    assert of.figures(np.array([2.0, 0.0]))[:2] == (1.0, 0.0)
    assert of.figures(np.array([0.0, 2.0]))[:2] == (0.0, pytest.approx(1e6 * 200 / 600))
    assert of.figures(np.array([1.0, 1.0])) == of.figures()


def test_a_draw_without_fraud_has_no_recall():
    none = Prices(COSTS, np.zeros(4, np.int8), fraud=np.zeros(4, bool), day=DAY)
    assert np.isnan(none.figures()[PRICES.index("recall")])
