"""Ranking metrics on cases that can be done by hand."""

import numpy as np
import pytest

from app.models.training.metrics import rank_metrics


def metrics(ranking, fraud, *, day=None, card=None):
    rows = len(ranking)
    return rank_metrics(
        np.array(ranking, dtype=float),
        np.array(fraud, dtype=bool),
        day=np.zeros(rows, dtype=np.int64) if day is None else np.array(day),
        card=np.arange(rows) if card is None else np.array(card),
    )


def test_a_perfect_ranking_has_an_average_precision_of_one():
    found = metrics([0.9, 0.8, 0.2, 0.1], [True, True, False, False])
    assert found["average_precision"] == found["roc_auc"] == 1.0
    assert found["recall_at_precision_20"] == 1.0


def test_average_precision_weighs_each_fraud_by_the_precision_at_its_place():
    found = metrics([4, 3, 2, 1], [True, False, True, False])
    assert found["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_recall_at_a_precision_leaves_out_what_costs_too_many_false_alarms():
    fraud = [True] + [False] * 9 + [True]
    assert metrics(range(11, 0, -1), fraud)["recall_at_precision_20"] == 0.5


def test_a_card_counts_once_a_day_and_by_its_worst_attempt():
    found = metrics([0.9, 0.1, 0.8], [True, True, False], card=[5, 5, 6])
    assert found["card_precision_at_100"] == pytest.approx(1 / 100)


def test_card_precision_is_the_mean_over_days():
    found = metrics([0.9, 0.8, 0.7], [True, True, False], day=[1, 2, 2], card=[1, 2, 3])
    assert found["card_precision_at_100"] == pytest.approx(1 / 100)


def test_of_more_cards_than_can_be_looked_at_only_the_most_suspicious_count():
    ranking, fraud = list(range(300)), [at >= 250 for at in range(300)]
    assert metrics(ranking, fraud)["card_precision_at_100"] == pytest.approx(50 / 100)
