"""Scoring: one batch a loop turn, a breaker round it, and no score that is not a number."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest
from catboost import CatBoostError

from app.features.vector import Row
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

    def predict(self, data, *, prediction_type, thread_count):
        numbers = np.array(data.num_feature_data)
        self.batches.append(len(numbers))
        if self.raises is not None:
            raise self.raises
        return numbers[:, 0].astype(np.float64)


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

    async def score(self, *raws):
        scorer = self.scorer()
        asked = [scorer.score(row(raw), self.deadline()) for raw in raws]
        return await asyncio.gather(*asked, return_exceptions=True)


def row(raw):
    return Row(np.array([raw], dtype=np.float32), [b"x"], "s1", None, large=False)


@pytest.fixture
def bench():
    return Bench()


async def test_a_score_is_a_calibrated_probability(bench):
    (scored,) = await bench.score(0.0)
    assert (scored.probability, scored.raw, scored.artifact) == (0.5, 0.0, bench.artifact)


async def test_rows_of_one_turn_are_scored_in_one_call_and_each_gets_its_own(bench):
    scored = await bench.score(*range(-10, 10))
    assert bench.models["full"].batches == [20]
    assert [one.raw for one in scored] == list(range(-10, 10))


async def test_no_call_is_larger_than_the_limit(bench):
    await bench.score(*range(ROWS_MAX + 1))
    assert bench.models["full"].batches == [ROWS_MAX, 1]


async def test_each_rung_has_its_own_model(bench):
    await bench.scorer(RungName.BATCH).score(row(0.0), bench.deadline())
    assert (bench.models["full"].batches, bench.models["batch"].batches) == ([], [1])


async def test_without_an_artifact_the_model_is_unavailable_and_the_breaker_untouched(bench):
    bench.artifact = None
    (error,) = await bench.score(0.0)
    assert isinstance(error, ModelUnavailable)
    assert bench.breaker.counts.total == 0


async def test_with_too_little_time_left_nothing_is_begun(bench):
    with pytest.raises(DeadlineNear):
        await bench.scorer().score(row(0.0), bench.deadline(1.0))
    assert bench.models["full"].batches == []


@pytest.mark.parametrize("error", [CatBoostError("bad row"), TypeError("None"), ValueError("nan")])
async def test_a_model_that_raises_is_an_unavailable_dependency(bench, error):
    bench.models["full"].raises = error
    (got,) = await bench.score(0.0)
    assert isinstance(got, DependencyUnavailable)
    assert bench.breaker.counts.failures == 1


@pytest.mark.parametrize("raw", [float("nan"), float("inf"), float("-inf")])
async def test_a_score_that_is_not_a_number_is_corrupt_and_evidence_against_the_model(bench, raw):
    errors = await bench.score(0.0, raw)
    assert all(isinstance(error, DependencyCorrupt) for error in errors)
    assert bench.breaker.counts.failures == 1


async def test_a_model_that_keeps_raising_is_left_alone(bench):
    bench.models["full"].raises = CatBoostError("broken")
    for _ in range(BreakerPolicy().minimum_calls):
        await bench.score(0.0)
    assert bench.breaker.state is StateName.OPEN
    called = len(bench.models["full"].batches)
    (error,) = await bench.score(0.0)
    assert isinstance(error, BreakerOpen)
    assert len(bench.models["full"].batches) == called
