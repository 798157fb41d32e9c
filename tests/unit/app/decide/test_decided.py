"""The pipeline of one decision: what each part adds, and that none of them can cost the answer."""

from __future__ import annotations

import json

import pytest

from app.api.problem import Conflict
from app.features.spec import Entity
from app.policy import UNKNOWN_TIER
from app.record.claims import Claim, ClaimState
from app.record.reasons import MODEL_RISK, STAND_IN_BUDGET
from app.record.token import body_hash
from fallback.deadline import Deadline
from fallback.errors import SourceUnavailable
from fallback.rung import Action, RungName
from tests.unit.app.decide.setting import BODY, POLICY, RECEIVED_MS, VERSIONS, Directory, Pipeline


@pytest.mark.parametrize(
    ("score", "action", "reasons"), [(0.0, "approve", []), (1.0, "decline", [MODEL_RISK])]
)
async def test_policy_acts_on_the_score(pipeline, score, action, reasons):
    pipeline.full.score = score
    decision = await pipeline.decide()
    assert (decision.action, decision.rung, decision.score) == (action, "full", score)
    assert [reason.code for reason in decision.reasons] == reasons
    assert decision.thresholds.step_up < decision.thresholds.decline
    assert decision.policy_version == POLICY.version


async def test_rules_that_agree_with_the_model_join_its_reason(pipeline):
    pipeline.full.score = 1.0
    decision = await pipeline.decide(amount={"value": 10_000_000, "currency": "EUR"})
    assert [reason.code for reason in decision.reasons] == [MODEL_RISK, "AMOUNT_UNUSUAL"]


async def test_a_refusal_has_its_reason_without_a_rule_file_too(pipeline):
    pipeline.full.score, pipeline.rules = 1.0, None
    assert [reason.code for reason in (await pipeline.decide()).reasons] == [MODEL_RISK]


async def test_where_no_step_up_is_possible_there_is_none(pipeline):
    pipeline.full.score = 0.1
    assert (await pipeline.decide()).action == "step_up"
    assert (await pipeline.decide(step_up_available=False)).action != "step_up"


async def test_the_rules_answer_where_the_score_is_missing(pipeline):
    pipeline.full.score = SourceUnavailable("gone")
    decision = await pipeline.decide()
    assert (decision.rung, decision.score, decision.thresholds) == ("rules", None, None)
    assert decision.not_higher == {"full": "source_unavailable"}


async def test_a_rule_s_step_up_is_a_decline_where_none_is_possible(pipeline):
    pipeline.full.score = SourceUnavailable("gone")
    unusual = {"amount": {"value": 200_000, "currency": "EUR"}}
    assert (await pipeline.decide(**unusual)).action == "step_up"
    assert (await pipeline.decide(**unusual, step_up_available=False)).action == "decline"


@pytest.mark.parametrize(("available", "action"), [(True, "step_up"), (False, "decline")])
async def test_an_approval_past_the_stand_in_budget_is_stepped_up_or_declined(
    pipeline, available, action
):
    pipeline.full.score, pipeline.rules = SourceUnavailable("gone"), None
    pipeline.stand_in.says = STAND_IN_BUDGET
    decision = await pipeline.decide(step_up_available=available)
    assert (decision.rung, decision.action) == ("tier_default", action)
    assert [reason.code for reason in decision.reasons] == [STAND_IN_BUDGET, "STANDING_POLICY"]
    assert pipeline.records.kept[0].withheld == STAND_IN_BUDGET
    assert pipeline.stand_in.asked == [RungName.TIER_DEFAULT]


async def test_what_is_not_approved_takes_nothing_from_the_stand_in_budget(pipeline):
    pipeline.full.score = 1.0
    pipeline.stand_in.says = STAND_IN_BUDGET
    assert (await pipeline.decide()).action == "decline"
    assert pipeline.stand_in.asked == []
    assert pipeline.records.kept[0].withheld is None


async def test_under_pressure_an_attempt_starts_from_a_lower_rung(pipeline):
    pipeline.pressure.depth = 1.0
    answer = await pipeline.decide()
    assert answer.rung == "rules"
    assert answer.not_higher == {"full": "pressure"}


async def test_the_last_rung_answers_where_nothing_is_left(pipeline):
    pipeline.full.score, pipeline.rules = SourceUnavailable("gone"), None
    decision = await pipeline.decide()
    assert (decision.rung, decision.action) == ("tier_default", "approve")
    assert decision.not_higher == {"full": "source_unavailable", "rules": "rules_unavailable"}


async def test_a_score_that_policy_cannot_use_costs_accuracy_and_is_counted(pipeline):
    pipeline.full.score = float("nan")
    decision = await pipeline.decide()
    assert (decision.rung, decision.not_higher) == ("tier_default", {"full": "bug", "rules": "bug"})
    assert pipeline.telemetry.counters["bugs\0policy"] == 1
    pipeline.full.score = 0.0
    assert (await pipeline.decide()).rung == "full"


async def test_a_directory_that_cannot_be_read_is_as_good_as_none_and_is_counted(pipeline):
    pipeline.directory.entry = OSError("bad page")
    await pipeline.decide()
    assert pipeline.records.kept[0].merchant == {"tier": UNKNOWN_TIER}
    assert pipeline.telemetry.counters["bugs\0directory"] == 1
    pipeline.directory = Directory()
    await pipeline.decide()
    assert pipeline.records.kept[1].merchant["tier"] == "strategic"


async def test_a_record_that_cannot_be_made_does_not_cost_the_answer_and_is_counted(pipeline):
    pipeline.records.fails = True
    assert (await pipeline.decide()).action == "approve"
    assert pipeline.telemetry.counters["bugs\0record"] == 1


async def test_the_record_holds_what_was_answered_and_what_was_asked(pipeline):
    decision = await pipeline.decide()
    (record,) = pipeline.records.kept
    same = ("decision_id", "attempt_id", "action", "score", "rung", "not_higher", "took_ms")
    assert [getattr(record, name) for name in same] == [getattr(decision, name) for name in same]
    assert record.thresholds == (decision.thresholds.step_up, decision.thresholds.decline)
    assert json.loads(record.request) == BODY
    assert (record.tenant, record.received_ms, record.deadline_ms) == ("acme", RECEIVED_MS, 80)
    assert record.entities == {"card": "tok_12345", "merchant": "mer_1"}
    assert record.merchant == {"tier": "strategic", "category": "books", "country": "DE"}
    assert record.versions.items() >= VERSIONS.recorded.items()


async def test_the_token_is_of_this_decision_and_body(pipeline):
    decision = await pipeline.decide()
    claims = pipeline.signer.verify(decision.token, tenant="acme", now_s=RECEIVED_MS / 1_000)
    assert claims.decision_id == decision.decision_id
    assert claims.body_hash == body_hash(pipeline.records.kept[0].request)
    assert claims.action == decision.action


async def test_what_follows_in_the_background_touches_nothing_of_live_traffic():
    pipeline = Pipeline(followed=1.0)
    pipeline.full.score = SourceUnavailable("gone")
    await pipeline.decide()
    before = dict(pipeline.telemetry.counters)
    await pipeline.background.work_off()
    fresh = {key: n for key, n in pipeline.telemetry.counters.items() if before.get(key) != n}
    assert fresh == {"agreement\0tier_default\0rules\0approve\0approve": 1}
    assert (len(pipeline.records.kept), len(pipeline.claims.settled)) == (1, 1)
    assert pipeline.stand_in.asked == [RungName.RULES]
    assert pipeline.candidate().velocity == {Entity.CARD: 2}


async def test_a_follower_that_fails_costs_neither_the_answer_nor_the_next_follower():
    class Broken:
        def decided(self, made, answer):
            raise OSError("no room")

    pipeline = Pipeline(followed=1.0, followers=[Broken()])
    pipeline.full.score = SourceUnavailable("gone")
    decision = await pipeline.decide()
    assert (decision.rung, len(pipeline.claims.settled)) == ("rules", 1)
    assert pipeline.telemetry.counters["bugs\0broken"] == 1
    await pipeline.background.work_off()
    assert [key for key in pipeline.telemetry.counters if key.startswith("agreement")]


async def test_an_attempt_that_got_no_answer_is_not_followed():
    pipeline = Pipeline(followed=1.0)
    pipeline.claims.says = Claim(ClaimState.OTHER_BODY)
    with pytest.raises(Conflict):
        await pipeline.decide()
    await pipeline.background.work_off()
    assert not [key for key in pipeline.telemetry.counters if key.startswith("agreement")]


async def test_the_answer_says_what_it_took_from_the_headers_on(pipeline):
    deadline = Deadline.after(budget_ms=80, clock=pipeline.clock, already_spent_ms=5)
    decision = await pipeline.decide(deadline=deadline)
    assert decision.took_ms == pytest.approx(5)
    assert decision.as_of == "2026-07-02T13:46:40.000Z"


async def test_a_currency_without_a_rate_is_weighed_as_a_high_amount(pipeline):
    pipeline.full.score = 0.05
    unpriced = await pipeline.decide(amount={"value": 1, "currency": "XXX"})
    high = POLICY.tier("strategic").amount_high
    priced = await pipeline.decide(amount={"value": high, "currency": "USD"})
    assert unpriced.thresholds == priced.thresholds
    assert pipeline.records.kept[0].rates is None


async def test_actions_on_the_wire_are_those_of_the_ladder(pipeline):
    assert {(await pipeline.decide()).action} <= {action.value for action in Action}
