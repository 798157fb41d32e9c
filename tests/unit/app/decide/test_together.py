"""Attempts that begin together: what they share, and what stays each one's own."""

from __future__ import annotations

import logging

import msgspec
import pytest

from app.api.problem import Conflict
from app.api.wire import Decision
from app.record.claims import Claim, ClaimState
from fallback.deadline import Deadline
from fallback.errors import FeaturesStale
from fallback.rung import RungName


class SpoiltSigner:
    """Cannot sign the answers to some attempts."""

    def __init__(self, signer, *spoilt):
        self.signer, self.spoilt = signer, spoilt

    def sign(self, claims, *, tenant):
        if claims.attempt_id in self.spoilt:
            raise ZeroDivisionError(claims.attempt_id)
        return self.signer.sign(claims, tenant=tenant)


@pytest.fixture(params=["assessed", "pressed"])
def either(request, pipeline):
    """A pipeline that goes either way."""
    if request.param == "pressed":
        pipeline.pressure.depth = len(RungName) - 1.0
    return pipeline


def ids(*names):
    return [{"attempt_id": name} for name in names]


async def test_attempts_are_assessed_claimed_and_settled_together(pipeline):
    await pipeline.decide_all(ids("a1", "a2", "a3"))
    assert [asked for asked, _ in pipeline.full.batches] == [["a1", "a2", "a3"]]
    assert [[id.id for id in asked] for asked in pipeline.claims.claimed] == [["a1", "a2", "a3"]]
    assert [entry.id.id for entry in pipeline.claims.settled] == ["a1", "a2", "a3"]


async def test_each_attempt_has_the_answer_to_its_own_score(pipeline):
    pipeline.full.scores = {"a1": 1.0, "a2": FeaturesStale(), "a3": 0.0}
    answers = await pipeline.decide_all(ids("a1", "a2", "a3"))
    assert [(one.attempt_id, one.rung, one.action) for one in answers] == [
        ("a1", "full", "decline"),
        ("a2", "rules", "approve"),
        ("a3", "full", "approve"),
    ]
    assert [one.not_higher for one in answers] == [{}, {"full": "features_stale"}, {}]
    kept = [(record.attempt_id, record.decision_id) for record in pipeline.records.kept]
    assert kept == [(one.attempt_id, one.decision_id) for one in answers]
    left = [msgspec.json.decode(entry.answer, type=Decision) for entry in pipeline.claims.settled]
    assert left == answers


async def test_what_is_told_of_the_rungs_counts_attempts_and_not_batches(pipeline):
    pipeline.full.scores = {"a2": FeaturesStale()}
    await pipeline.decide_all(ids("a1", "a2", "a3"))
    assert pipeline.telemetry.counters["rung_skipped\0full\0features_stale"] == 1
    pipeline.full.score = FeaturesStale()
    await pipeline.decide_all(ids("a4", "a5"))
    assert pipeline.telemetry.counters["rung_skipped\0full\0features_stale"] == 3


async def test_a_caller_in_a_hurry_cuts_nobody_else_s_deadline_short(pipeline):
    hurried = [{"attempt_id": "a2", "deadline_ms": 20}, {"attempt_id": "a4", "deadline_ms": 20}]
    (a1, a3), (a2, a4) = ids("a1", "a3"), hurried
    await pipeline.decide_all([a1, a2, a3, a4])
    assert pipeline.full.batches == [
        (["a1", "a3"], pytest.approx(80)),
        (["a2", "a4"], pytest.approx(20)),
    ]
    assert {one.attempt_id: one.deadline_ms for one in pipeline.records.kept} == {
        "a1": 80,
        "a2": 20,
        "a3": 80,
        "a4": 20,
    }


async def test_those_that_go_together_keep_to_the_earliest_of_their_deadlines(pipeline):
    waited = Deadline.after(budget_ms=80, clock=pipeline.clock, already_spent_ms=30)
    answers = await pipeline.decide_all(
        [{"attempt_id": "a1"}, {"attempt_id": "a2", "deadline": waited}]
    )
    assert pipeline.full.batches == [(["a1", "a2"], pytest.approx(50))]
    assert [answer.took_ms for answer in answers] == pytest.approx([0, 30])


async def test_a_bug_in_one_attempt_costs_only_its_own_answer_and_is_told_to_it(either):
    either.making._signer = SpoiltSigner(either.signer, "a2")
    first, second, third = await either.decide_all(ids("a1", "a2", "a3"))
    assert isinstance(second, ZeroDivisionError)
    assert (first.attempt_id, third.attempt_id) == ("a1", "a3")
    assert [record.attempt_id for record in either.records.kept] == ["a1", "a3"]
    left = [*either.claims.settled, *(one for asked in either.claims.entered for one in asked)]
    assert [entry.id.id for entry in left] == ["a1", "a3"]


async def test_where_every_attempt_meets_a_bug_each_is_told_its_own(either):
    either.making._signer = SpoiltSigner(either.signer, "a1", "a2")
    results = await either.decide_all(ids("a1", "a2"))
    assert [str(result) for result in results] == ["a1", "a2"]
    assert not either.records.kept
    assert not either.claims.entered


async def test_a_conflict_is_told_to_the_one(either):
    either.claims.saying = {"a2": Claim(ClaimState.OTHER_BODY)}
    first, second, third = await either.decide_all(ids("a1", "a2", "a3"))
    assert isinstance(second, Conflict)
    assert (first.attempt_id, third.attempt_id) == ("a1", "a3")
    assert [record.attempt_id for record in either.records.kept] == ["a1", "a3"]
    assert "a2" not in [entry.id.id for entry in either.claims.settled]


async def test_a_repeat_among_new_ones_gets_what_it_got_before(either):
    before = await either.decide(attempt_id="a2")
    either.claims.saying = {"a2": Claim(ClaimState.ANSWERED, msgspec.json.encode(before))}
    answers = await either.decide_all(ids("a1", "a2", "a3"))
    assert answers[1] == before
    assert [record.attempt_id for record in either.records.kept] == ["a2", "a1", "a3"]


async def test_a_claim_store_that_fails_as_nobody_expected_costs_no_answer_and_is_counted(
    either, caplog
):
    either.claims.fails = ZeroDivisionError("a bug")
    with caplog.at_level(logging.CRITICAL):
        answers = await either.decide_all(ids("a1", "a2"))
    assert [answer.attempt_id for answer in answers] == ["a1", "a2"]
    assert either.telemetry.counters["bugs\0claims"] == 1
    assert either.telemetry.counters["claims\0unknown"] == 2
    assert len(either.records.kept) == 2


async def test_claims_that_cannot_even_be_sent_cost_no_answer_and_are_counted(either, caplog):
    def broken(_of):
        raise ZeroDivisionError("a bug")

    either.claims.claim_all = either.claims.enter_all = either.claims.settle_all = broken
    with caplog.at_level(logging.CRITICAL):
        answers = await either.decide_all(ids("a1", "a2"))
    assert [answer.attempt_id for answer in answers] == ["a1", "a2"]
    assert either.telemetry.counters["bugs\0claims"] >= 1
    assert len(either.records.kept) == 2


async def test_a_claim_store_that_is_late_costs_none_of_a_batch_its_answer(either):
    either.claims.slow = True
    answers = await either.decide_all(ids("a1", "a2"))
    assert [answer.attempt_id for answer in answers] == ["a1", "a2"]
    assert either.telemetry.counters["claims\0unknown"] == 2
    assert "bugs\0claims" not in either.telemetry.counters


async def test_who_cannot_be_told_keeps_nobody_else_from_being_told(either, caplog):
    def gone(_result):
        raise RuntimeError("nobody listens any more")

    told = []
    batch = [
        either.asked(tell, attempt_id=f"a{at}")
        for at, tell in enumerate([told.append, gone, told.append])
    ]
    with caplog.at_level(logging.CRITICAL):
        await either.decider.decide(batch)
    assert [result.answer.attempt_id for result in told] == ["a0", "a2"]
    assert either.telemetry.counters["bugs\0told"] == 1


async def test_many_that_are_pressed_go_in_parts_none_of_which_waits_for_the_last(pipeline):
    pipeline.pressure.depth = len(RungName) - 1.0
    names = [f"a{at}" for at in range(150)]
    answers = await pipeline.decide_all(ids(*names))
    assert [answer.attempt_id for answer in answers] == names
    assert {answer.rung for answer in answers} == {"tier_default"}
    assert [len(entries) for entries in pipeline.claims.entered] == [64, 64, 22]


async def test_many_that_are_not_pressed_go_in_one(pipeline):
    pipeline.pressure.highest = lambda: RungName.FULL
    await pipeline.decide_all(ids(*(f"a{at}" for at in range(150))))
    assert [len(asked) for asked, _ in pipeline.full.batches] == [150]


async def test_a_repeat_that_is_pressed_is_claimed_apart_from_those_that_are_new(pipeline):
    pipeline.pressure.depth = len(RungName) - 1.0
    answers = await pipeline.decide_all(
        [{"attempt_id": "a1"}, {"attempt_id": "a2", "retry": 1}, {"attempt_id": "a3"}]
    )
    assert [answer.attempt_id for answer in answers] == ["a1", "a2", "a3"]
    assert [[entry.id.id for entry in asked] for asked in pipeline.claims.entered] == [["a1", "a3"]]
    assert [[id.id for id in asked] for asked in pipeline.claims.claimed] == [["a2"]]


async def test_a_ladder_that_breaks_costs_the_answers_of_its_batch_and_each_is_told(pipeline):
    class Broken:
        async def assess(self, *_arguments, **_named):
            raise ZeroDivisionError

    pipeline.decider._ladder = Broken()
    results = await pipeline.decide_all(ids("a1", "a2"))
    assert [type(result) for result in results] == [ZeroDivisionError] * 2
