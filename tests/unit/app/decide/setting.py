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
from app.record.claim_store import Written
from app.record.claims import Claim, Claiming, ClaimState
from app.record.decision import decode_record
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
    """A full rung that gives a score, or raises; `scores` are of some attempt ids."""

    name = RungName.FULL

    def __init__(self):
        self.score = 0.0
        self.scores = {}
        self.batches = []

    async def assess(self, attempts, deadline):
        ids = [candidate.attempt.attempt_id for candidate in attempts]
        self.batches.append((ids, deadline.remaining_ms()))
        if isinstance(self.score, Exception):
            raise self.score
        return [self._assessment(self.scores.get(id, self.score)) for id in ids]

    @staticmethod
    def _assessment(score):
        if isinstance(score, Exception):
            return score
        return Assessment(score=score, action=None, ranking=score)


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

    def write(self, decisions):
        if self.fails:
            raise TypeError("a bug")
        self.kept += [decode_record(one.payload) for one in decisions]
        return True


class ScriptedClaims:
    """Claims that say what they are told to, when they are told to; `saying` is of some ids.

    Attributes:
        fails: what the store's reply fails with.
        claimed: ids of each ask, in order.
        entered: entries of each ask, in order.
    """

    def __init__(self):
        self.says = Claim(ClaimState.NEW)
        self.saying = {}
        self.slow = False
        self.fails = None
        self.claimed = []
        self.entered = []
        self.settled = []

    def claim_all(self, ids):
        self.claimed.append(list(ids))
        return self._claiming(ids)

    def enter_all(self, entries):
        self.entered.append(list(entries))
        return self._claiming([entry.id for entry in entries])

    def settle_all(self, entries):
        self.settled.extend(entries)

    def _claiming(self, ids):
        reply = asyncio.get_running_loop().create_future()
        if self.fails is not None:
            reply.set_exception(self.fails)
        elif not self.slow:
            reply.set_result([None] * len(ids))
        keys = [id.id for id in ids]

        def read(own, _elsewhere):
            return [
                self.saying.get(key, self.says) if key in own else Claim(ClaimState.UNKNOWN)
                for key in keys
            ]

        return Claiming(Written([keys], [reply]), (), read)


class ScriptedStandIn:
    """A stand-in budget that has room, or says for which code it has none."""

    def __init__(self):
        self.says = None
        self.asked = []

    def withheld(self, approvals, policy):
        self.asked += [rung for _, rung in approvals]
        return [self.says for _ in approvals]


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

    def asked(self, told, *, retry=0, deadline=None, deadline_ms=80, **fields):
        """An attempt that was received."""
        body = {**BODY, **fields}
        return self.decider.asked(
            msgspec.convert(body, Attempt),
            json.dumps(body).encode(),
            caller=Caller("acme", frozenset(Scope), "k1"),
            deadline=deadline or Deadline.after(budget_ms=deadline_ms, clock=self.clock),
            deadline_ms=deadline_ms,
            told=told,
            retry=retry,
        )

    async def decide(self, **fields):
        """The answer to one attempt, which is a batch of its own; what it is refused with."""
        (result,) = await self.decide_all([fields])
        if isinstance(result, Exception):
            raise result
        return result

    async def decide_all(self, batch):
        """The answers to attempts that begin together, in order; or why there is none."""
        told = [[] for _ in batch]
        await self.decider.decide(
            [self.asked(own.append, **fields) for own, fields in zip(told, batch, strict=True)]
        )
        results = [result for (result,) in told]  # each is told once
        return [one if isinstance(one, Exception) else one.answer for one in results]
