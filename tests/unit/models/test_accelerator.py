"""The second evaluator: used while it gives CatBoost's scores to the bit, and never after."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from catboost import CatBoost, FeaturesData, Pool

from app.models.accelerator import CHECKED_EVERY, Accelerator, available
from app.models.artifact import objects, raw_scores

ROWS = 400
RNG = np.random.default_rng(7)
NUMBERS = RNG.normal(size=(ROWS, 5)).astype(np.float32)
NUMBERS[RNG.random(NUMBERS.shape) < 0.1] = np.nan
CATEGORIES = [[RNG.choice([b"a", b"b", b"c", b"absent"]), b"x"] for _ in range(ROWS)]
FRAUD = (np.nan_to_num(NUMBERS[:, 0]) + [one[0] == b"a" for one in CATEGORIES] > 0.8).astype(int)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    model = CatBoost({"iterations": 30, "logging_level": "Silent", "allow_writing_files": False})
    data = FeaturesData(num_feature_data=NUMBERS, cat_feature_data=objects(CATEGORIES))
    model.fit(Pool(data, label=FRAUD))
    path = tmp_path_factory.mktemp("model") / "full.cbm"
    model.save_model(str(path))
    return path, lambda numbers, categories: raw_scores(model, numbers, objects(categories))


class Scripted:
    """A library whose model gives what it is told to."""

    __version__ = "0"

    def __init__(self, reference):
        self.reference = reference
        self.adds = 0.0
        self.raises = None

    def load(self, path, **how):
        return self

    def predict(self, rows, **how):
        if self.raises is not None:
            raise self.raises
        numbers = np.array([row[:5] for row in rows], dtype=np.float32)
        return self.reference(numbers, [[one.encode() for one in row[5:]] for row in rows]) + (
            self.adds
        )


@pytest.fixture
def scripted(trained, monkeypatch):
    path, reference = trained
    library = Scripted(reference)
    monkeypatch.setitem(sys.modules, "lignum", library)
    return SimpleNamespace(library=library, accelerator=Accelerator(path, reference))


@pytest.mark.skipif(not available(), reason="the extra 'accelerator' is not installed")
@pytest.mark.parametrize("rows", [1, 2, 8, 33, ROWS])
def test_it_gives_catboost_s_scores_to_the_bit(trained, rows):
    path, reference = trained
    scores = Accelerator(path, reference).raw(NUMBERS[:rows], CATEGORIES[:rows])
    assert scores.tolist() == reference(NUMBERS[:rows], CATEGORIES[:rows]).tolist()


def test_one_batch_of_many_is_compared_and_a_difference_ends_it(scripted, caplog):
    scripted.library.adds = 1e-12
    for _ in range(CHECKED_EVERY - 1):
        assert scripted.accelerator.raw(NUMBERS[:2], CATEGORIES[:2]) is not None
    with caplog.at_level(logging.ERROR):
        assert scripted.accelerator.raw(NUMBERS[:2], CATEGORIES[:2]) is None
    assert "CatBoost takes over" in caplog.text
    scripted.library.adds = 0.0
    assert scripted.accelerator.raw(NUMBERS[:2], CATEGORIES[:2]) is None


def test_as_long_as_it_agrees_it_goes_on(scripted):
    for _ in range(2 * CHECKED_EVERY + 1):
        assert scripted.accelerator.raw(NUMBERS[:3], CATEGORIES[:3]) is not None


def test_an_error_ends_it(scripted, caplog):
    scripted.library.raises = MemoryError()
    assert scripted.accelerator.raw(NUMBERS[:2], CATEGORIES[:2]) is None
    assert not scripted.accelerator.trusted
    assert "CatBoost takes over" in caplog.text
