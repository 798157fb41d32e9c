"""Rows are scored alike, to the bit, whichever way CatBoost takes them."""

from __future__ import annotations

import numpy as np
import pytest
from catboost import CatBoost, FeaturesData, Pool

from app.models.artifact import FEW_ROWS, objects, raw_scores

ROWS = 300
KINDS = [b"a", b"b", b"absent", b"a\0", b" a", b"1", b"1.0", b"nan", "é".encode(), b"x" * 128]
RNG = np.random.default_rng(3)
NUMBERS = RNG.normal(size=(ROWS, 6)).astype(np.float32)
NUMBERS[RNG.random(NUMBERS.shape) < 0.2] = np.nan
NUMBERS[RNG.random(NUMBERS.shape) < 0.1] = np.float32(1e30)
CATEGORIES = objects([[KINDS[at] for at in RNG.integers(0, len(KINDS), 2)] for _ in range(ROWS)])
FRAUD = (np.nan_to_num(NUMBERS[:, 0]) + (CATEGORIES[:, 0] == b"a\0") > 0.9).astype(int)


@pytest.fixture(scope="module")
def model():
    fitted = CatBoost({"iterations": 40, "logging_level": "Silent", "allow_writing_files": False})
    data = FeaturesData(num_feature_data=NUMBERS, cat_feature_data=CATEGORIES)
    fitted.fit(Pool(data, label=FRAUD))
    return fitted


@pytest.mark.parametrize("rows", [1, 2, 7, FEW_ROWS, FEW_ROWS + 1])
def test_a_few_rows_score_as_they_do_among_many(model, rows):
    many = raw_scores(model, NUMBERS, CATEGORIES)
    for start in (0, 100):
        part = slice(start, start + rows)
        few = raw_scores(model, NUMBERS[part], CATEGORIES[part])
        assert few.tolist() == many[part].tolist()
    assert len(set(many.tolist())) > 50


def test_rows_without_categories_are_scored():
    fitted = CatBoost({"iterations": 5, "logging_level": "Silent", "allow_writing_files": False})
    fitted.fit(Pool(NUMBERS, label=FRAUD))
    none = np.empty((ROWS, 0), dtype=object)
    few = raw_scores(fitted, NUMBERS[:3], none[:3])
    assert few.tolist() == fitted.predict(NUMBERS, prediction_type="RawFormulaVal")[:3].tolist()
