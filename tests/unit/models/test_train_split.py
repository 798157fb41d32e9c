"""What is trained on was known at the time, and nothing of the test week was."""

import numpy as np
import pyarrow as pa
import pytest

from app.features.spec import DAY_MS
from app.models.training.history import NEVER_MS, History, HistoryError
from app.models.training.train import Split, TrainSettings

START_DAY = 20_000


def history(days, *, labelled_after_days=3, fraud_every=5):
    day = np.repeat(np.arange(START_DAY, START_DAY + days), 10)
    received = day * DAY_MS + 1_000
    fraud = np.arange(len(day)) % fraud_every == 0
    labelled = np.where(fraud, received + int(labelled_after_days * DAY_MS), NEVER_MS)
    return History(
        attempts=pa.table({"attempt_id": [str(at) for at in range(len(day))]}),
        received_ms=received,
        amount_ref=np.full(len(day), 100),
        fraud=fraud,
        labelled_ms=labelled,
        merchants={},
        provenance="simulated",
    )


def days_of(made, rows):
    return set((made.day[rows] - START_DAY).tolist())


def test_fit_calibration_gap_and_test_follow_each_other():
    made = history(60)
    split = Split(made, TrainSettings())
    assert days_of(made, split.fit) == set(range(10, 39))
    assert days_of(made, split.calibrate) == set(range(39, 46))


def test_fraud_that_nobody_had_reported_is_trained_on_as_genuine():
    made = history(60, labelled_after_days=10)
    split = Split(made, TrainSettings())
    late = made.day - START_DAY >= 43
    assert made.fraud[late].any()
    assert not split.fraud[late].any()
    early = (made.day - START_DAY < 40) & made.fraud
    assert split.fraud[early].all()


def test_too_few_days_are_one_sentence():
    with pytest.raises(HistoryError, match=r"spans 30 days; training needs at least 31 and 7 more"):
        Split(history(30), TrainSettings())


def test_data_without_known_fraud_is_one_sentence():
    with pytest.raises(HistoryError, match="no known fraud"):
        Split(history(60, labelled_after_days=100), TrainSettings())


def test_the_fingerprint_changes_with_the_data():
    one = Split(history(60), TrainSettings()).facts()
    same = Split(history(60), TrainSettings()).facts()
    other = Split(history(60, labelled_after_days=4), TrainSettings()).facts()
    assert one["fingerprint"] == same["fingerprint"] != other["fingerprint"]
