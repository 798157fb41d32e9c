from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from app.simulator.campaigns import PATTERNS
from app.simulator.labels import LABELS, SOURCES, Labels, Settled, draw_labels

DAY_MS = 86_400_000


def settled(pattern: str, size: int, *, declined: bool = False) -> Settled:
    """Attempts of one pattern, all at time 0."""
    return Settled(
        at_ms=np.zeros(size, int),
        pattern=np.full(size, PATTERNS.index(pattern)),
        brand=np.zeros(size, int),
        declined=np.full(size, declined),
    )


def drawn(attempts: Settled) -> Labels:
    return draw_labels(np.random.default_rng(1), attempts)


def median_days(source: str, pattern: str = "stolen_card") -> float:
    labels = drawn(settled(pattern, 20_000))
    first = (labels.label == 0) & (labels.source == SOURCES.index(source))
    return float(np.median(labels.arrived_ms[first])) / DAY_MS


def test_each_source_has_a_delay_of_its_own():
    assert 0.5 < median_days("review") < 1.5
    assert 1 < median_days("early_alert") < 4
    assert 1 < median_days("customer") < 5
    assert 10 < median_days("chargeback") < 30


def test_friendly_fraud_is_disputed_later_than_other_fraud():
    assert median_days("chargeback", "friendly_fraud") > 1.5 * median_days("chargeback")
    labels = drawn(settled("friendly_fraud", 2_000))
    told = {SOURCES[source] for source in labels.source[labels.label == 0].tolist()}
    assert told == {"chargeback", "customer"}


@pytest.mark.parametrize(
    ("pattern", "least", "most"), [("card_testing", 0.70, 0.85), ("stolen_card", 0.88, 0.96)]
)
def test_some_fraud_is_never_labelled_and_card_testing_least_often(pattern, least, most):
    labels = drawn(settled(pattern, 5_000))
    assert least < len(np.unique(labels.attempt)) / 5_000 < most


def test_nobody_disputes_what_the_issuer_declined():
    labels = drawn(settled("stolen_card", 5_000, declined=True))
    told = {SOURCES[source] for source in labels.source[labels.label == 0].tolist()}
    assert told == {"early_alert", "review"}
    assert len(np.unique(labels.attempt)) < 0.55 * 5_000


def test_an_attempt_is_said_to_be_fraud_once_at_most_and_genuine_ones_seldom(
    attempts: pa.Table, labels: pa.Table
):
    fraud = set(attempts.filter(attempts["fraud"])["attempt_id"].to_pylist())
    said = [row["attempt_id"] for row in labels.to_pylist() if row["label"] == "fraud"]
    assert len(set(said)) == len(said)
    right = [attempt for attempt in said if attempt in fraud]
    assert 0.6 < len(right) / len(fraud) < 1
    assert 0 < len(said) - len(right) < 0.06 * len(said)


def test_a_correction_comes_after_the_label_that_it_corrects(labels: pa.Table):
    arrived = {}
    corrected = 0
    for row in labels.to_pylist():
        if row["label"] == "fraud":
            arrived[row["attempt_id"]] = row["arrived_at"]
        elif row["attempt_id"] in arrived:
            corrected += 1
            assert arrived[row["attempt_id"]] < row["event_at"]
        else:
            assert (row["label"], row["source"]) == ("not_fraud", "review")
    assert 0 < corrected < 0.1 * len(arrived)


def test_every_label_has_an_id_and_says_why(labels: pa.Table):
    assert len(set(labels["label_id"].to_pylist())) == labels.num_rows
    for row in labels.to_pylist():
        # The early alerts of one network have no code.
        assert row["reason_code"] is not None or row["source"] == "early_alert"
    assert set(labels["label"].to_pylist()) == set(LABELS)


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
