"""A decider with everything real but the scores, the directory and the journal."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace

import msgspec

from app.api.auth import Caller, Scope
from app.api.wire import Attempt
from app.background import Background, skipped_into
from app.decide import Decider
from app.event_time import ReplayTime
from app.features.directory import MerchantEntry
from app.features.reference import REFERENCE
from app.ids import DecisionIds
from app.making import InForce, Making
from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, load_policy
from app.record.claims import Claim, ClaimState
from app.record.made import Versions
from app.record.token import TokenSigner
from app.rule_inputs import rule_inputs
from app.rulebook import DEFAULT_RULES, load_rules
from app.telemetry import Telemetry
from fallback.brake import VelocityBrake
from fallback.clock import ManualClock
from fallback.deadline import Deadline
from fallback.ladder import Ladder, Step
from fallback.pressure import Pressure
from fallback.rung import Assessment, RungName
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
        self.entered = []

    def claim(self, tenant, attempt_id, body_hash):
        future = asyncio.get_running_loop().create_future()
        if not self.slow:
            future.set_result(self.says)
        return future

    def settle(self, tenant, id, body_hash, answer):
        self.settled.append((tenant, id, body_hash, answer))

    async def enter(self, answers):
        entered = list(answers)
        self.entered.extend(entered)
        if self.slow:
            await asyncio.sleep(60.0)
        return [self.says] * len(entered)


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

    def __init__(self, *, followed=0.0, followers=()):
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
        ladder = self._ladder()
        self.making = Making(
            region="us-east-1",
            in_force=InForce(
                policy=lambda: self.policy,
                rates=lambda: rates,
                rules=lambda: self.rules,
                directory=lambda: self.directory,
                versions=lambda: VERSIONS,
            ),
            brake=VelocityBrake(clock=self.clock),
            stand_in=self.stand_in,
            last_resort=ladder.last_resort,
            recorder=self.records,
            signer=self.signer,
            telemetry=self.telemetry,
            followers=[*followers, self._background(followed)],
            time=ReplayTime(wall=lambda: RECEIVED_MS),
        )
        self.decider = Decider(
            ladder=ladder,
            pressure=self.pressure,
            making=self.making,
            claims=self.claims,
            telemetry=self.telemetry,
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
        return self.making.candidate(msgspec.convert({**BODY, **fields}, Attempt), "acme")

    async def decide(self, *, retry=0, **fields):
        body = {**BODY, **fields}
        return await self.decider.decide(
            msgspec.convert(body, Attempt),
            json.dumps(body).encode(),
            caller=Caller("acme", frozenset(Scope), "k1"),
            deadline=Deadline.after(budget_ms=80, clock=self.clock),
            deadline_ms=80,
            retry=retry,
        )
