"""Ranking metrics on cases that can be done by hand."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from app.models.training.metrics import RankCurve, rank_metrics


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


def test_precision_at_a_recall_is_the_best_that_finds_as_much():
    fraud = [True, False, True, True, False, True]
    assert metrics(range(6, 0, -1), fraud)["precision_at_recall_75"] == pytest.approx(3 / 4)


def test_the_threshold_is_the_lowest_that_keeps_the_precision():
    fraud = np.array([True] + [False] * 4 + [True] + [False] * 30)
    ranking = np.arange(36.0, 0, -1)
    curve = RankCurve(ranking, fraud, np.zeros(36, dtype=np.int64))
    assert curve.alert_from() == 36.0 - 9  # ten attempts, two frauds among them


def test_without_a_threshold_that_keeps_the_precision_there_is_none():
    fraud = np.array([False] * 30 + [True])
    curve = RankCurve(np.arange(31.0, 0, -1), fraud, np.zeros(31, dtype=np.int64))
    assert np.isinf(curve.alert_from())


def test_a_card_counts_once_a_day_and_by_its_worst_attempt():
    found = metrics([0.9, 0.1, 0.8], [True, True, False], card=[5, 5, 6])
    assert found["card_precision_at_100"] == pytest.approx(1 / 100)


def test_card_precision_is_the_mean_over_days():
    found = metrics([0.9, 0.8, 0.7], [True, True, False], day=[1, 2, 2], card=[1, 2, 3])
    assert found["card_precision_at_100"] == pytest.approx(1 / 100)


def test_of_more_cards_than_can_be_looked_at_only_the_most_suspicious_count():
    ranking, fraud = list(range(300)), [at >= 250 for at in range(300)]
    assert metrics(ranking, fraud)["card_precision_at_100"] == pytest.approx(50 / 100)


def test_a_card_that_was_found_compromised_is_not_looked_at_again():
    found = metrics([0.9, 0.8], [True, True], day=[1, 2], card=[5, 5])
    assert found["card_precision_at_100"] == pytest.approx((1 + 0) / 2 / 100)


def test_a_day_that_counts_twice_is_as_if_its_attempts_were_there_twice():
    rng = np.random.default_rng(1)
    ranking, fraud = np.round(rng.random(200), 1), rng.random(200) < 0.2
    day = np.arange(200) % 2
    twice = np.concatenate([np.arange(200), np.flatnonzero(day == 1)])
    weighed = RankCurve(ranking, fraud, day).metrics(np.array([1.0, 2.0]))
    repeated = RankCurve(ranking[twice], fraud[twice], day[twice]).metrics()
    assert weighed == pytest.approx(repeated)


def test_ranking_metrics_are_those_of_a_second_source():
    rng = np.random.default_rng(2)
    ranking, fraud = np.round(rng.random(500), 2), rng.random(500) < 0.1
    average, area, *_ = RankCurve(ranking, fraud, np.zeros(500, dtype=np.int64)).metrics()
    assert average == pytest.approx(average_precision_score(fraud, ranking))
    assert area == pytest.approx(roc_auc_score(fraud, ranking))
