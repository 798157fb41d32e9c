"""What clients decided by themselves is entered once, and a region's own decision gives way."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from app.api.problem import Conflict, NotTaken
from app.api.reading import read_attempt, read_stand_in
from app.api.wire import CLIENT_DEFAULT, Decision
from app.client_default import ClientDecisions
from app.event_time import ReplayTime
from app.features.reference import REFERENCE
from app.ids import DecisionIds
from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, load_policy
from app.record.claims import Claim, ClaimState
from app.record.decision import decode_record
from app.record.frames import Kind
from app.record.made import Versions
from app.record.token import TokenSigner, body_hash
from app.telemetry import Telemetry

ATTEMPT = {
    "attempt_id": "a1",
    "amount": {"value": 2_500, "currency": "USD"},
    "merchant": {"id": "mer_1"},
    "instrument": {"token": "tok_12345678"},
    "occurred_at": "2026-11-22T10:00:00Z",
}
BODY = {
    "attempt": ATTEMPT,
    "action": "step_up",
    "decided_at": "2026-11-22T10:00:01Z",
    "policy_version": 1,
    "reasons": ["STANDING_POLICY"],
}


class Store:
    """The claims of one region, as its datastore keeps them."""

    def __init__(self):
        self.kept: dict[str, tuple[bytes, bytes]] = {}

    async def claim(self, tenant, id, identity):
        known = self.kept.get(f"{tenant}:{id}")
        if known is None:
            return Claim(ClaimState.NEW)
        if known[0] != identity:
            return Claim(ClaimState.OTHER_BODY)
        return Claim(ClaimState.ANSWERED, known[1])

    def settle(self, tenant, id, identity, answer):
        self.kept[f"{tenant}:{id}"] = (identity, answer)


class Journal:
    """Takes records while it is told to; also what takes outcomes."""

    def __init__(self):
        self.records, self.outcomes, self.works = [], [], True
        self._ids = DecisionIds(region=0, writer=1)

    def new_id(self, now_ms):
        return self._ids.new(now_ms)

    def append(self, kind, payload):
        if self.works:
            self.records.append((kind, decode_record(payload)))
        return self.works

    async def take(self, kind, **outcome):
        self.outcomes.append((kind, outcome))


@pytest.fixture
def region():
    return Region()


class Region:
    def __init__(self):
        self.claims, self.journal, self.telemetry = Store(), Journal(), Telemetry()
        policy, rates = load_policy(DEFAULT_POLICY), load_rates(DEFAULT_RATES)
        versions = Versions(
            policy=1, rates="r1", features=REFERENCE, recorded={"features": "7", "policy": "p"}
        )
        self.takes = ClientDecisions(
            region="us-east-1",
            claims=self.claims,
            intake=self.journal,
            recorder=self.journal,
            policy=lambda: policy,
            rates=lambda: rates,
            versions=lambda: versions,
            merchant=lambda _tenant, _merchant: None,
            signer=TokenSigner(b"s" * 32),
            telemetry=self.telemetry,
            time=ReplayTime(),
        )

    def post(self, **changes):
        stand_in, canonical = read_stand_in(msgspec.json.encode({**BODY, **changes}))
        return asyncio.run(self.takes.take(stand_in, canonical, tenant="acme"))

    def decided(self, action="approve"):
        """The region decides the attempt, and its answer is lost."""
        _, canonical = read_attempt(msgspec.json.encode(ATTEMPT))
        answer = Decision(
            decision_id=DecisionIds(region=0, writer=1).new(),
            attempt_id="a1",
            action=action,
            score=0.1,
            rung="full",
            not_higher={},
            reasons=[],
            thresholds=None,
            model=None,
            policy_version=1,
            region="us-east-1",
            as_of="2026-11-22T10:00:00.000Z",
            feature_age_ms=1,
            took_ms=3.0,
            token="v1.x.y",
        )
        self.claims.settle("acme", "a1", body_hash(canonical), msgspec.json.encode(answer))
        return answer


def test_a_stand_in_is_a_decision_record_of_its_own_rung(region):
    accepted = region.post()
    assert (accepted.id, accepted.duplicate) == ("a1", False)
    ((kind, record),) = region.journal.records
    assert kind is Kind.DECISION
    assert (record.rung, record.action, record.attempt_id) == (CLIENT_DEFAULT, "step_up", "a1")
    assert record.entities == {"card": "tok_12345678", "merchant": "mer_1"}
    assert record.bits
    assert record.amount_ref == 2_500
    assert record.reasons == ["STANDING_POLICY"]
    assert record.client_decided_ms - record.received_ms == 1_000


def test_it_is_entered_once_however_often_it_is_posted(region):
    first, again = region.post(), region.post()
    assert (first.duplicate, again.duplicate) == (False, True)
    assert len(region.journal.records) == 1
    assert region.telemetry.counters == {"client_defaults\0step_up": 1}


def test_whoever_asks_for_the_attempt_later_hears_what_the_client_did(region):
    region.post()
    ((_, answer),) = region.claims.kept.values()
    said = msgspec.json.decode(answer, type=Decision)
    assert (said.rung, said.action) == (CLIENT_DEFAULT, "step_up")
    signer = TokenSigner(b"s" * 32)
    assert signer.verify(said.token, tenant="acme", now_s=0).action == "step_up"


def test_a_decision_whose_answer_was_lost_is_superseded(region):
    lost = region.decided()
    assert region.post().duplicate is False
    assert [record.rung for _, record in region.journal.records] == [CLIENT_DEFAULT]
    ((kind, outcome),) = region.journal.outcomes
    assert kind is Kind.OUTCOME
    assert outcome["decision_id"] == lost.decision_id
    assert b'"superseded"' in outcome["canonical"]


def test_the_same_attempt_id_for_something_else_is_a_conflict(region):
    region.post()
    with pytest.raises(Conflict):
        region.post(attempt={**ATTEMPT, "amount": {"value": 1, "currency": "USD"}})


def test_what_the_journal_does_not_take_has_to_be_sent_again(region):
    region.journal.works = False
    with pytest.raises(NotTaken):
        region.post()
    region.journal.works = True
    assert region.post().duplicate is False


def test_a_card_number_is_no_more_welcome_than_in_an_attempt(region):
    with pytest.raises(Exception, match="card number"):
        region.post(attempt={**ATTEMPT, "instrument": {"token": "4111111111111111"}})
