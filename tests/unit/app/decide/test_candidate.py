"""What is known of an attempt without asking anyone, and what rules see of it."""

from __future__ import annotations

import msgspec
import pytest

from app.api.wire import Attempt
from app.features.spec import Entity
from app.policy import UNKNOWN_TIER
from app.rule_inputs import rule_inputs
from app.rulebook import INPUTS
from tests.unit.app.decide.setting import BODY, POLICY


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
    other = pipeline.making.candidate(msgspec.convert(BODY, Attempt), "other")
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
