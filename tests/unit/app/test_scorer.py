"""Scoring: rows together, a breaker round it, and no score that is not a number."""

from __future__ import annotations

import random

import numpy as np
import pytest
from catboost import CatBoostError

from app.features.vector import Row
from app.models import artifact
from app.models.artifact import Artifact, Calibration, RungFacts, RungModel
from app.models.scorer import ROWS_MAX, ModelScorer
from fallback.breaker import Breaker, BreakerPolicy
from fallback.breaker_states import StateName
from fallback.clock import ManualClock
from fallback.deadline import Deadline
from fallback.errors import (
    BreakerOpen,
    DeadlineNear,
    DependencyCorrupt,
    DependencyUnavailable,
    ModelUnavailable,
)
from fallback.rung import RungName


class FakeModel:
    """Gives each row its first number as raw score, or what it is told to."""

    def __init__(self):
        self.batches = []
        self.raises = None

    def predict(self, numbers, *, prediction_type, thread_count):
        self.batches.append(len(numbers))
        if self.raises is not None:
            raise self.raises
        return numbers[:, 0].astype(np.float64)


@pytest.fixture(autouse=True)
def rows_as_they_are(monkeypatch):
    """The fake model needs no pool, which would hide what is in it."""
    monkeypatch.setattr(artifact, "_pool", lambda numbers, _categories: numbers)


class Bench:
    """A scorer with a fake full model."""

    def __init__(self):
        self.clock = ManualClock()
        self.models = {"full": FakeModel(), "batch": FakeModel()}
        calibration = Calibration(slope=1.0, intercept=0.0)
        facts = RungFacts(numbers=["x"], categories=["c"], calibration=calibration, metrics={})
        rungs = {name: RungModel(model, facts) for name, model in self.models.items()}
        self.artifact = Artifact("v1", None, **rungs)
        self.breaker = Breaker(
            "model:full", BreakerPolicy(), clock=self.clock, rng=random.Random(7)
        )

    def scorer(self, rung=RungName.FULL):
        return ModelScorer(rung, artifact=lambda: self.artifact, breaker=self.breaker)

    def deadline(self, budget_ms=80.0):
        return Deadline.after(budget_ms=budget_ms, clock=self.clock)

    def score(self, *raws):
        return self.scorer().score(list(map(row, raws)), self.deadline())


def row(raw):
    return Row(np.array([raw], dtype=np.float32), [b"x"], "s1", None, large=False)


@pytest.fixture
def bench():
    return Bench()


def test_a_score_is_a_calibrated_probability(bench):
    (scored,) = bench.score(0.0)
    assert (scored.probability, scored.raw, scored.artifact) == (0.5, 0.0, bench.artifact)


def test_rows_are_scored_in_one_call_and_each_gets_its_own(bench):
    scored = bench.score(*range(-10, 10))
    assert bench.models["full"].batches == [20]
    assert [one.raw for one in scored] == list(range(-10, 10))


def test_no_call_is_larger_than_the_limit(bench):
    scored = bench.score(*range(2 * ROWS_MAX + 1))
    assert bench.models["full"].batches == [ROWS_MAX, ROWS_MAX, 1]
    assert [one.raw for one in scored] == list(range(2 * ROWS_MAX + 1))


def test_each_rung_has_its_own_model(bench):
    bench.scorer(RungName.BATCH).score([row(0.0)], bench.deadline())
    assert (bench.models["full"].batches, bench.models["batch"].batches) == ([], [1])


def test_without_an_artifact_the_model_is_unavailable_and_the_breaker_untouched(bench):
    bench.artifact = None
    with pytest.raises(ModelUnavailable):
        bench.score(0.0)
    assert bench.breaker.counts.total == 0


def test_with_too_little_time_left_nothing_is_begun(bench):
    with pytest.raises(DeadlineNear):
        bench.scorer().score([row(0.0)], bench.deadline(1.0))
    assert bench.models["full"].batches == []


@pytest.mark.parametrize("error", [CatBoostError("bad row"), TypeError("None"), ValueError("nan")])
def test_a_model_that_raises_is_an_unavailable_dependency(bench, error):
    bench.models["full"].raises = error
    with pytest.raises(DependencyUnavailable):
        bench.score(0.0)
    assert bench.breaker.counts.failures == 1


@pytest.mark.parametrize("raw", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_a_number_is_corrupt_and_evidence_against_the_model(bench, raw):
    with pytest.raises(DependencyCorrupt):
        bench.score(0.0, raw)
    assert bench.breaker.counts.failures == 1


def test_a_model_that_keeps_raising_is_left_alone(bench):
    bench.models["full"].raises = CatBoostError("broken")
    for _ in range(BreakerPolicy().minimum_calls):
        with pytest.raises(DependencyUnavailable):
            bench.score(0.0)
    assert bench.breaker.state is StateName.OPEN
    called = len(bench.models["full"].batches)
    with pytest.raises(BreakerOpen):
        bench.score(0.0)
    assert len(bench.models["full"].batches) == called
