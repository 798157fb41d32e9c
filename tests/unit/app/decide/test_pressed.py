"""Attempts that pressure sends to the last rung: decided together, each with its own answer."""

from __future__ import annotations

import logging
from functools import partial

import msgspec
import pytest

from app import making
from app.api.problem import Conflict
from app.api.wire import Decision
from app.record.claims import Claim, ClaimState
from app.record.decision import encode
from fallback.deadline import Deadline
from fallback.pressure import PressureSettings
from fallback.rung import RungName

PRESSURE = dict.fromkeys(("full", "rules"), "pressure")


@pytest.fixture
def pressed(pipeline):
    """A pipeline where every attempt starts from the last rung."""
    pipeline.pressure.depth = len(RungName) - 1.0
    return pipeline


async def test_an_attempt_is_answered_by_the_last_rung_and_recorded(pressed):
    answer = await pressed.decide()
    assert (answer.rung, answer.not_higher) == ("tier_default", PRESSURE)
    (record,) = pressed.records.kept
    assert (record.decision_id, record.action) == (answer.decision_id, answer.action)
    assert record.not_higher == PRESSURE


async def test_many_are_decided_together_and_each_gets_its_own_answer(pressed):
    amounts = {f"a{at}": 100 * at for at in range(1, 9)}
    answers = await pressed.decide_all(
        [
            {"attempt_id": id, "amount": {"value": value, "currency": "EUR"}}
            for id, value in amounts.items()
        ]
    )
    assert [answer.attempt_id for answer in answers] == list(amounts)
    assert [record.attempt_id for record in pressed.records.kept] == list(amounts)
    assert len({answer.decision_id for answer in answers}) == len(amounts)
    assert pressed.telemetry.counters["rung_skipped\0full\0pressure"] == len(amounts)
    assert [len(entries) for entries in pressed.claims.entered] == [len(amounts)]


async def test_the_claim_has_the_answer_in_it(pressed):
    answer = await pressed.decide()
    (((tenant, id, identity), kept),) = pressed.claims.entered[0]
    assert (tenant, id, len(identity)) == ("acme", "a1", 16)
    assert msgspec.json.decode(kept, type=Decision) == answer
    assert not pressed.claims.settled


async def test_what_was_answered_before_is_answered_alike_and_not_recorded_again(pressed):
    first = await pressed.decide()
    pressed.claims.says = Claim(ClaimState.ANSWERED, msgspec.json.encode(first))
    assert await pressed.decide() == first
    assert len(pressed.records.kept) == 1


async def test_an_id_of_another_body_is_a_conflict_of_its_own(pressed):
    pressed.claims.says = Claim(ClaimState.OTHER_BODY)
    with pytest.raises(Conflict, match="another body"):
        await pressed.decide()
    assert not pressed.records.kept


async def test_a_store_that_does_not_answer_costs_no_answer(pressed):
    pressed.claims.slow = True
    assert (await pressed.decide()).rung == "tier_default"
    assert pressed.telemetry.counters["claims\0unknown"] == 1


async def test_a_repeat_takes_the_way_that_looks_at_other_regions_too(pressed):
    answer = await pressed.decide(retry=1)
    assert answer.rung == "tier_default"
    assert not pressed.claims.entered
    assert len(pressed.claims.settled) == 1


async def test_an_approval_past_the_stand_in_budget_is_withheld(pressed):
    pressed.stand_in.says = "STAND_IN_BUDGET"
    small = {"value": 1, "currency": "EUR"}
    answer = await pressed.decide(amount=small, step_up_available=True)
    assert (answer.action, pressed.stand_in.asked) == ("step_up", [RungName.TIER_DEFAULT])


async def test_a_record_that_cannot_be_made_costs_neither_its_answer_nor_the_others(
    pressed, monkeypatch, caplog
):
    def encoded(record):
        if record.attempt_id == "a1":
            raise TypeError("cannot be encoded")
        return encode(record)

    monkeypatch.setattr(making, "encode", encoded)
    with caplog.at_level(logging.CRITICAL):
        answers = await pressed.decide_all([{"attempt_id": f"a{at}"} for at in range(3)])
    assert {answer.rung for answer in answers} == {"tier_default"}
    assert pressed.telemetry.counters["bugs\0record"] == 1
    assert [record.attempt_id for record in pressed.records.kept] == ["a0", "a2"]


async def test_a_recorder_that_has_a_bug_costs_no_answer(pressed, caplog):
    pressed.records.fails = True
    with caplog.at_level(logging.CRITICAL):
        answers = await pressed.decide_all([{"attempt_id": f"a{at}"} for at in range(3)])
    assert {answer.rung for answer in answers} == {"tier_default"}
    assert pressed.telemetry.counters["bugs\0record"] == 1


async def test_of_a_moment_s_attempts_those_beyond_the_limit_are_pressed(pipeline):
    most = PressureSettings().together_max
    answers = await pipeline.decide_all([{"attempt_id": f"a{at}"} for at in range(most + 10)])
    assert [answer.rung for answer in answers] == ["full"] * most + ["tier_default"] * 10


async def test_who_is_late_has_the_last_rung_and_makes_nobody_else_late(pipeline):
    told = {}
    pipeline.clock.advance(1.0)
    late = Deadline(
        started_s=pipeline.clock.monotonic() - 0.081,
        expires_s=pipeline.clock.monotonic() - 0.001,
        clock=pipeline.clock,
    )
    await pipeline.decider.decide(
        [
            pipeline.asked(partial(told.__setitem__, "late"), attempt_id="late", deadline=late),
            pipeline.asked(partial(told.__setitem__, "new"), attempt_id="new"),
        ]
    )
    assert told["new"].answer.rung == "full"
    assert told["late"].answer.rung == "tier_default"
    assert set(told["late"].answer.not_higher.values()) == {"deadline"}
    assert [[entry.id.id for entry in batch] for batch in pipeline.claims.entered] == [["late"]]
