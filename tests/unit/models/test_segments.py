"""What is cold, and fraud by pattern, on a handful of attempts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from app.features.spec import Entity
from app.models.training.history import ID_COLUMNS, NEVER_MS, History
from app.models.training.segments import cold_of, patterns_of


def history(**ids):
    """Attempts with the given ids, and none of the other entities."""
    rows = len(next(iter(ids.values())))
    columns = {
        column: pa.array(ids.get(str(entity), [None] * rows), pa.string())
        for entity, column in ID_COLUMNS.items()
    }
    pattern = pa.array([None, "stolen_card", None, "friendly_fraud", "stolen_card"][:rows])
    return History(
        attempts=pa.table({**columns, "fraud_pattern": pattern}),
        received_ms=np.arange(rows),
        amount_ref=np.full(rows, 100),
        fraud=np.array([one is not None for one in pattern.to_pylist()]),
        labelled_ms=np.full(rows, NEVER_MS),
        merchants={},
        provenance="simulated",
    )


MADE = history(
    merchant=["a", "b", "a", "c", "b"],
    device=["x", "y", None, "x", "z"],
    card=["1", "2", "3", "1", "2"],
)
KNOWN, TEST = np.array([0, 1]), np.array([2, 3, 4])


def test_an_id_that_training_never_had_is_cold():
    cold = cold_of(MADE, KNOWN, TEST)
    assert cold[str(Entity.MERCHANT)].tolist() == [False, True, False]
    assert cold[str(Entity.DEVICE)].tolist() == [False, False, True]


def test_an_attempt_without_the_id_is_not_cold():
    assert not cold_of(MADE, KNOWN, TEST)[str(Entity.BIN)].any()
    assert not cold_of(MADE, KNOWN, TEST)[str(Entity.DEVICE)][0]


def test_any_means_merchant_device_or_bin_and_not_the_card():
    cold = cold_of(MADE, KNOWN, TEST)
    assert cold[str(Entity.CARD)].tolist() == [True, False, False]
    assert cold["any"].tolist() == [False, True, True]


def test_a_fraud_has_the_pattern_that_the_data_tell():
    assert patterns_of(MADE)[[1, 2, 3]].tolist() == ["stolen_card", None, "friendly_fraud"]


def test_data_that_tell_no_pattern_have_none():
    plain = history(merchant=["a"])
    bare = replace(plain, attempts=plain.attempts.drop_columns(["fraud_pattern"]))
    assert patterns_of(bare).tolist() == [None]
