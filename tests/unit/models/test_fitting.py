"""Which rows a model is fitted on."""

import numpy as np
import pytest

from app.models.training.fitting import TrainSettings, drawn


def rng():
    return np.random.default_rng(3)


@pytest.fixture
def fraud():
    return np.arange(40_000) % 50 == 0


def test_of_too_many_genuine_rows_each_that_is_drawn_stands_for_several(fraud):
    kept, stands_for = drawn(fraud, TrainSettings(genuine_rows_max=9_800), rng())
    assert set(np.flatnonzero(fraud)) <= set(kept)
    assert (stands_for[fraud[kept]] == 1).all()
    np.testing.assert_allclose(stands_for[~fraud[kept]], 4)
    assert stands_for.sum() == pytest.approx(len(fraud), rel=0.03)


def test_where_there_are_not_too_many_all_rows_are_kept(fraud):
    kept, stands_for = drawn(fraud, TrainSettings(genuine_rows_max=39_200), rng())
    assert len(kept) == len(fraud)
    assert (stands_for == 1).all()
