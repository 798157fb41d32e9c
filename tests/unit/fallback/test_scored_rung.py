"""The two upper rungs: what could be gathered is scored, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fallback.clock import ManualClock
from fallback.deadline import Deadline
from fallback.errors import FeaturesStale, ModelUnavailable, SnapshotUnavailable
from fallback.ladder import Ladder, Step
from fallback.rung import Reason, RungName
from fallback.rungs.scored import ScoredRung

DEADLINE = Deadline.after(budget_ms=80, clock=ManualClock())


class Features:
    """Makes a row of each attempt, or gives the error that stands in its place."""

    def __init__(self):
        self.error = None

    async def read(self, attempts, deadline):
        if self.error is not None:
            raise self.error
        return [one if isinstance(one, Exception) else f"row of {one}" for one in attempts]


class Scorer:
    """Scores a row by the figure at its end, and keeps the batches."""

    def __init__(self):
        self.batches = []
        self.error = None
        self.short_of = 0

    def score(self, rows, deadline):
        self.batches.append(list(rows))
        if self.error is not None:
            raise self.error
        scores = [SimpleNamespace(probability=float(row.split()[-1]) / 10) for row in rows]
        return scores[: len(scores) - self.short_of]


class Bench:
    def __init__(self):
        self.features, self.scorer = Features(), Scorer()
        self.rung = ScoredRung(RungName.FULL, features=self.features, scorer=self.scorer)


@pytest.fixture
def bench():
    return Bench()


async def test_each_attempt_has_the_score_of_its_own_row_in_order(bench):
    assessments = await bench.rung.assess([3, 1, 2], DEADLINE)
    assert [one.score for one in assessments] == [0.3, 0.1, 0.2]
    assert [one.ranking for one in assessments] == [0.3, 0.1, 0.2]
    assert [one.detail["row"] for one in assessments] == ["row of 3", "row of 1", "row of 2"]
    assert [one.detail["scored"].probability for one in assessments] == [0.3, 0.1, 0.2]
    assert len(bench.scorer.batches) == 1


async def test_what_could_not_be_gathered_is_not_scored_and_keeps_its_place(bench):
    stale, bug = FeaturesStale(), KeyError("card")
    first, second, third, fourth = await bench.rung.assess([stale, 3, bug, 1], DEADLINE)
    assert (first, third) == (stale, bug)
    assert (second.score, fourth.score) == (0.3, 0.1)
    assert bench.scorer.batches == [["row of 3", "row of 1"]]


async def test_where_nothing_could_be_gathered_the_model_is_not_asked(bench):
    stale = FeaturesStale()
    assert await bench.rung.assess([stale, stale], DEADLINE) == [stale, stale]
    assert bench.scorer.batches == []


async def test_features_that_fail_for_all_are_raised(bench):
    bench.features.error = SnapshotUnavailable("gone")
    with pytest.raises(SnapshotUnavailable):
        await bench.rung.assess([1, 2], DEADLINE)


async def test_a_model_that_scores_too_few_rows_is_a_bug(bench):
    bench.scorer.short_of = 1
    with pytest.raises(RuntimeError):
        await bench.rung.assess([1, 2], DEADLINE)


async def test_on_a_ladder_an_attempt_without_a_row_goes_on_for_its_own_reason():
    class Partial(Features):
        """Has no row for the second attempt."""

        async def read(self, attempts, deadline):
            return await super().read(
                [FeaturesStale() if one == 2 else one for one in attempts], deadline
            )

    class Last:
        name = RungName.TIER_DEFAULT

        def assess(self, attempt):
            raise AssertionError("nothing gets this far")

    rungs = [
        ScoredRung(RungName.FULL, features=Partial(), scorer=Scorer()),
        ScoredRung(RungName.BATCH, features=Features(), scorer=Scorer()),
    ]
    steps = [Step(rung=rung, needed_ms=1.0) for rung in rungs]
    descents = await Ladder(steps, Last(), clock=ManualClock()).assess([1, 2, 3], DEADLINE)
    assert [(one.rung, one.assessment.score) for one in descents] == [
        (RungName.FULL, 0.1),
        (RungName.BATCH, 0.2),
        (RungName.FULL, 0.3),
    ]
    assert descents[1].not_higher == {RungName.FULL: Reason.FEATURES_STALE}


async def test_a_model_that_raises_leaves_what_features_said_of_their_own(bench):
    bench.scorer.error = ModelUnavailable("withdrawn")
    stale = FeaturesStale("old")
    first, second, third = await bench.rung.assess([1, stale, 2], DEADLINE)
    assert (first, second, third) == (bench.scorer.error, stale, bench.scorer.error)
