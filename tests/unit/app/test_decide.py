"""The pipeline of one decision: what each part adds, and that none of them can cost the answer."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace

import msgspec
import pytest

from app.api.auth import Caller, Scope
from app.api.problem import Conflict
from app.api.wire import Attempt, Decision
from app.background import Background, skipped_into
from app.decide import Decider, InForce
from app.event_time import ReplayTime
from app.features.directory import MerchantEntry
from app.features.reference import REFERENCE
from app.features.spec import Entity
from app.ids import DecisionIds
from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, UNKNOWN_TIER, load_policy
from app.record.claims import Claim, ClaimState
from app.record.made import Versions
from app.record.reasons import MODEL_RISK, STAND_IN_BUDGET
from app.record.token import TokenSigner, body_hash
from app.rule_inputs import rule_inputs
from app.rulebook import DEFAULT_RULES, INPUTS, load_rules
from app.telemetry import Telemetry
from fallback.brake import VelocityBrake
from fallback.clock import ManualClock
from fallback.deadline import Deadline
from fallback.errors import SourceUnavailable
from fallback.ladder import Ladder, Step
from fallback.pressure import Pressure
from fallback.rung import Action, Assessment, RungName
from fallback.rungs.rules import RulesRung
from fallback.rungs.tier_default import StandingFacts, TierDefaultRung

RECEIVED_MS = 1_783_000_000_000
POLICY = load_policy(DEFAULT_POLICY)
VERSIONS = Versions(
    policy=POLICY.version,
    rates="r1",
    features=REFERENCE,
    recorded={"policy": "p1", "rules": "u1", "features": str(REFERENCE.schema)},
)
BODY = {
    "attempt_id": "a1",
    "amount": {"value": 2_500, "currency": "EUR"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_12345"},
}


class ScriptedRung:
    """A full rung that gives a score, or raises."""

    name = RungName.FULL

    def __init__(self):
        self.score = 0.0

    async def assess(self, attempt, deadline):
        if isinstance(self.score, Exception):
            raise self.score
        return Assessment(score=self.score, action=None, ranking=self.score)


class Directory:
    """Knows what it was given."""

    version = "d1"

    def __init__(self):
        self.entry = MerchantEntry(tier="strategic", category="books", country="DE")

    def get(self, tenant, merchant_id):
        if isinstance(self.entry, Exception):
            raise self.entry
        return self.entry


class Records:
    """A recorder that keeps what it gets, or fails."""

    def __init__(self):
        self.kept = []
        self.fails = False

    def new_id(self, unix_ms):
        return DecisionIds(region=0, writer=0).new(unix_ms)

    def write(self, record):
        if self.fails:
            raise TypeError("cannot be encoded")
        self.kept.append(record)
        return True


class ScriptedClaims:
    """Claims that say what they are told to, when they are told to."""

    def __init__(self):
        self.says = Claim(ClaimState.NEW)
        self.slow = False
        self.settled = []

    def claim(self, tenant, attempt_id, body_hash):
        future = asyncio.get_running_loop().create_future()
        if not self.slow:
            future.set_result(self.says)
        return future

    def settle(self, tenant, id, body_hash, answer):
        self.settled.append((tenant, id, body_hash, answer))


class ScriptedStandIn:
    """A stand-in budget that has room, or says for which code it has none."""

    def __init__(self):
        self.says = None
        self.asked = []

    def withheld(self, candidate, rung, policy):
        self.asked.append(rung)
        return self.says


class Pipeline:
    """A decider with everything real but the scores, the directory and the journal."""

    def __init__(self, *, followed=0.0):
        self.clock = ManualClock()
        self.full = ScriptedRung()
        self.directory = Directory()
        self.rules = load_rules(DEFAULT_RULES)
        self.policy = POLICY
        self.records = Records()
        self.claims = ScriptedClaims()
        self.telemetry = Telemetry()
        self.pressure = Pressure()
        self.stand_in = ScriptedStandIn()
        self.signer = TokenSigner(b"s" * 32)
        rates = load_rates(DEFAULT_RATES)
        self.decider = Decider(
            region="us-east-1",
            ladder=self._ladder(),
            pressure=self.pressure,
            in_force=InForce(
                policy=lambda: self.policy,
                rates=lambda: rates,
                rules=lambda: self.rules,
                directory=lambda: self.directory,
                versions=lambda: VERSIONS,
            ),
            brake=VelocityBrake(clock=self.clock),
            claims=self.claims,
            stand_in=self.stand_in,
            recorder=self.records,
            signer=self.signer,
            telemetry=self.telemetry,
            tracing=None,
            background=self._background(followed),
            time=ReplayTime(wall=lambda: RECEIVED_MS),
        )

    def _background(self, share):
        """A worker on rules and tier default, with no model in shadow."""
        rungs = {RungName.RULES: [self._rules_step()], RungName.TIER_DEFAULT: []}
        told = skipped_into(self.telemetry)
        self.background = Background(
            {rung: self._ladder_of(steps, told) for rung, steps in rungs.items()},
            SimpleNamespace(there=False),
            share=share,
            pressure=self.pressure,
            policy=lambda: self.policy,
            telemetry=self.telemetry,
            clock=self.clock,
            rng=random.Random(7),
        )
        return self.background

    def _ladder(self):
        steps = [Step(rung=self.full, needed_ms=1.0), self._rules_step()]
        return self._ladder_of(steps, self.telemetry.on_event)

    def _rules_step(self):
        rules = RulesRung(
            rules=lambda: self.rules, inputs_of=lambda candidate: rule_inputs(candidate, POLICY)
        )
        return Step(rung=rules, needed_ms=0.1)

    def _ladder_of(self, steps, listener):
        last = TierDefaultRung(
            standing=lambda: POLICY.standing,
            facts_of=lambda candidate: StandingFacts(
                tier=candidate.tier,
                amount_ref=candidate.amount_ref,
                step_up_available=candidate.attempt.step_up_available,
            ),
        )
        return Ladder(steps, last, clock=self.clock, listener=listener)

    def candidate(self, **fields):
        return self.decider.candidate(msgspec.convert({**BODY, **fields}, Attempt), "acme")

    async def decide(self, **fields):
        body = {**BODY, **fields}
        return await self.decider.decide(
            msgspec.convert(body, Attempt),
            json.dumps(body).encode(),
            caller=Caller("acme", frozenset(Scope), "k1"),
            deadline=Deadline.after(budget_ms=80, clock=self.clock),
            deadline_ms=80,
        )


@pytest.fixture
def pipeline():
    return Pipeline()


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


async def test_an_attempt_that_got_no_answer_is_not_followed():
    pipeline = Pipeline(followed=1.0)
    pipeline.claims.says = Claim(ClaimState.OTHER_BODY)
    with pytest.raises(Conflict):
        await pipeline.decide()
    await pipeline.background.work_off()
    assert not [key for key in pipeline.telemetry.counters if key.startswith("agreement")]


async def test_the_answer_says_what_it_took_from_the_headers_on(pipeline):
    deadline = Deadline.after(budget_ms=80, clock=pipeline.clock, already_spent_ms=5)
    decision = await pipeline.decider.decide(
        msgspec.convert(BODY, Attempt),
        b"{}",
        caller=Caller("acme", frozenset(Scope), "k1"),
        deadline=deadline,
        deadline_ms=80,
    )
    assert decision.took_ms == pytest.approx(5)
    assert decision.as_of == "2026-07-02T13:46:40.000Z"


async def test_a_currency_without_a_rate_is_weighed_as_a_high_amount(pipeline):
    pipeline.full.score = 0.05
    unpriced = await pipeline.decide(amount={"value": 1, "currency": "XXX"})
    high = POLICY.tier("strategic").amount_high
    priced = await pipeline.decide(amount={"value": high, "currency": "USD"})
    assert unpriced.thresholds == priced.thresholds
    assert pipeline.records.kept[0].rates is None


def test_a_candidate_knows_the_merchant_the_amount_and_the_ids(pipeline):
    candidate = pipeline.candidate(customer={"id": "cus_1"}, network={"ip_hash": "ip_1"})
    assert candidate.tier == "strategic"
    assert candidate.amount_ref == 2_725
    assert candidate.ids == {
        Entity.CARD: "tok_12345",
        Entity.MERCHANT: "mer_1",
        Entity.CUSTOMER: "cus_1",
        Entity.IP: "ip_1",
    }


def test_a_candidate_of_an_unlisted_merchant_has_the_unknown_tier(pipeline):
    pipeline.directory.entry = None
    assert pipeline.candidate().tier == UNKNOWN_TIER
    pipeline.directory = None
    assert pipeline.candidate().tier == UNKNOWN_TIER


def test_velocity_is_counted_by_card_device_and_ip_within_the_tenant(pipeline):
    fields = {"device": {"id": "dev_1"}, "network": {"ip_hash": "ip_1"}}
    for _ in range(3):
        candidate = pipeline.candidate(**fields)
    assert candidate.velocity == {Entity.CARD: 3, Entity.DEVICE: 3, Entity.IP: 3}
    other = pipeline.decider.candidate(msgspec.convert(BODY, Attempt), "other")
    assert other.velocity == {Entity.CARD: 1}


@pytest.mark.parametrize(
    ("created_at", "days"),
    [
        (None, None),
        ("2026-07-01T13:46:40Z", 1.0),
        ("2026-07-01t15:46:40+02:00", 1.0),
        ("2026-07-03T00:00:00z", 0.0),  # of a clock that runs ahead
        ("0001-01-01T00:00:00+14:00", 739_799.157),
    ],
)
def test_an_account_has_an_age_where_the_caller_said(pipeline, created_at, days):
    customer = {} if created_at is None else {"account_created_at": created_at}
    age = pipeline.candidate(customer=customer).account_age_days
    assert age == (None if days is None else pytest.approx(days, abs=0.01))


def test_rules_see_only_what_is_there(pipeline):
    inputs = rule_inputs(pipeline.candidate(amount={"value": 1, "currency": "XXX"}), POLICY)
    assert "amount.ref" not in inputs
    assert "customer.account_age_days" not in inputs
    assert inputs["three_ds.liability_shift"] is False
    assert inputs["velocity.card_10s"] == 1
    assert inputs["merchant.category"] == "books"


def test_every_input_that_rules_may_name_can_be_there(pipeline):
    candidate = pipeline.candidate(
        merchant={"id": "mer_1", "terminal_id": "ter_1"},
        instrument={
            "token": "tok_12345",
            "bin": "408448",
            "brand": "visa",
            "funding": "debit",
            "issuer_country": "DE",
            "network_token": True,
        },
        transaction={
            "kind": "payment",
            "channel": "pos",
            "entry_mode": "chip",
            "initiator": "customer",
            "instalments": 1,
            "avs": "match",
            "cvv": "match",
            "three_ds": {"eci": "05", "liability_shift": True},
        },
        customer={"account_created_at": "2026-07-01T00:00:00Z", "email_domain": "example.org"},
        device={"id": "dev_1", "kind": "phone", "emulator": False},
        network={"ip_hash": "ip_1", "ip_country": "DE", "proxy": False},
        address={
            "billing_country": "DE",
            "shipping_country": "DE",
            "shipping_matches_billing": True,
        },
        basket={"items": 1, "gift_cards": False},
    )
    assert rule_inputs(candidate, POLICY).keys() == INPUTS.keys()
    assert rule_inputs(candidate, POLICY)["three_ds.liability_shift"] is True


async def test_actions_on_the_wire_are_those_of_the_ladder(pipeline):
    assert {(await pipeline.decide()).action} <= {action.value for action in Action}


async def test_the_answer_is_left_with_the_claim_for_a_repeat(pipeline):
    answer = await pipeline.decide()
    ((tenant, id, identity, kept),) = pipeline.claims.settled
    assert (tenant, id, len(identity)) == ("acme", "a1", 16)
    assert msgspec.json.decode(kept, type=Decision) == answer


async def test_a_repeat_gets_the_answer_given_before_and_is_not_recorded_again(pipeline):
    first = await pipeline.decide()
    pipeline.claims.says = Claim(ClaimState.ANSWERED, msgspec.json.encode(first))
    assert await pipeline.decide() == first
    assert len(pipeline.records.kept) == 1
    assert pipeline.telemetry.counters["claims\0answered"] == 1


async def test_an_answer_that_this_release_cannot_read_is_decided_anew(pipeline):
    pipeline.claims.says = Claim(ClaimState.ANSWERED, b"{}")
    assert (await pipeline.decide()).rung == "full"


async def test_the_same_id_with_another_body_is_a_conflict(pipeline):
    pipeline.claims.says = Claim(ClaimState.OTHER_BODY)
    with pytest.raises(Conflict, match="another body"):
        await pipeline.decide()
    assert not pipeline.records.kept


@pytest.mark.parametrize("state", [ClaimState.PENDING, ClaimState.UNKNOWN])
async def test_what_was_not_answered_yet_is_decided(pipeline, state):
    pipeline.claims.says = Claim(state)
    assert (await pipeline.decide()).action
    assert pipeline.telemetry.counters[f"claims\0{state}"] == 1


async def test_a_claim_that_does_not_come_back_costs_no_answer(pipeline):
    pipeline.claims.slow = True
    assert (await pipeline.decide()).action
    assert pipeline.telemetry.counters["claims\0unknown"] == 1
