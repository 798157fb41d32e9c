from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from app.simulator.labels import SOURCES, draw_labels

DAY_MS = 86_400_000


def median_days(source: str) -> float:
    labels = draw_labels(
        np.random.default_rng(1), np.arange(20_000), np.zeros(20_000, int), np.full(20_000, 2)
    )
    return float(np.median(labels.arrived_ms[labels.source == SOURCES.index(source)])) / DAY_MS


def test_each_source_has_a_delay_of_its_own():
    assert 0.5 < median_days("review") < 1.5
    assert 1 < median_days("early_alert") < 4
    assert 1 < median_days("customer") < 5
    assert 10 < median_days("chargeback") < 30


@pytest.mark.parametrize(("pattern", "least", "most"), [(1, 0.70, 0.85), (2, 0.88, 0.96)])
def test_some_fraud_is_never_labelled_and_card_testing_least_often(pattern, least, most):
    labels = draw_labels(
        np.random.default_rng(1), np.arange(5_000), np.zeros(5_000, int), np.full(5_000, pattern)
    )
    assert least < len(labels.attempt) / 5_000 < most


def test_only_fraud_is_labelled_and_at_most_once(attempts: pa.Table, labels: pa.Table):
    fraud = set(attempts.filter(attempts["fraud"])["attempt_id"].to_pylist())
    labelled = labels["attempt_id"].to_pylist()
    assert set(labelled) <= fraud
    assert len(set(labelled)) == len(labelled)
    assert 0.7 < len(labelled) / len(fraud) < 1


def test_a_label_arrives_after_its_event_and_its_event_after_the_attempt(
    attempts: pa.Table, labels: pa.Table
):
    at = dict(
        zip(attempts["attempt_id"].to_pylist(), attempts["received_at"].to_pylist(), strict=True)
    )
    for row in labels.to_pylist():
        assert at[row["attempt_id"]] < row["event_at"] < row["arrived_at"]


def test_labels_are_sorted_by_arrival(labels: pa.Table):
    arrived = labels["arrived_at"].to_pylist()
    assert arrived == sorted(arrived)
