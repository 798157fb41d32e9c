"""The client default: the tier's standing policy, capped."""

from __future__ import annotations

import pytest

from stepdown_client.attempt import canonical
from stepdown_client.routing import Band, RegionRoute, Routing, TierStanding
from stepdown_client.standing import (
    CLIENT_ATTEMPT_CAP,
    CLIENT_HOURLY_CAP,
    CLIENT_WITHOUT_POLICY,
    STANDING_POLICY,
    Standing,
)

BANDS = [
    Band(up_to=5_000, action="approve"),
    Band(up_to=90_000, action="step_up"),
    Band(up_to=None, action="decline"),
]
ROUTING = Routing(
    tenant="acme",
    version=1,
    issued_at=0,
    expires_at=1,
    regions={"r": RegionRoute(endpoint="http://r", weight=100)},
    policy_version=3,
    rates={"USD": 1.0, "JPY": 0.5},
    tiers={
        "unknown": TierStanding(bands=BANDS, attempt_max=2_000, hourly_max=10_000),
        "strategic": TierStanding(bands=BANDS, attempt_max=5_000, hourly_max=10_000),
        "new": TierStanding(bands=BANDS, attempt_max=-1, hourly_max=-1),
    },
    merchants={"mer_big": "strategic", "mer_new": "new"},
    answer_key="",
)


def attempt(value, currency="USD", merchant="mer_big", **fields):
    return canonical(
        {
            "attempt_id": "a1",
            "amount": {"value": value, "currency": currency},
            "merchant": {"id": merchant},
            "instrument": {"token": "tok_12345678"},
            **fields,
        }
    )[0]


@pytest.fixture
def standing(clock):
    return Standing(clock=clock)


@pytest.mark.parametrize(
    ("value", "action"),
    [(0, "approve"), (5_000, "approve"), (5_001, "step_up"), (90_001, "decline")],
)
def test_the_band_of_the_amount_decides(standing, value, action):
    verdict = standing.decide(attempt(value), ROUTING)
    assert (verdict.action, verdict.reasons) == (action, (STANDING_POLICY,))


def test_amounts_are_weighed_in_the_reference_currency(standing):
    assert standing.decide(attempt(10_000, "JPY"), ROUTING).action == "approve"


def test_a_merchant_that_the_document_does_not_name_is_of_the_tier_unknown(standing):
    verdict = standing.decide(attempt(3_000, merchant="mer_other"), ROUTING)
    assert verdict.action == "step_up"
    assert verdict.reasons[0] == CLIENT_ATTEMPT_CAP


def test_a_tier_without_caps_approves_nothing(standing):
    assert standing.decide(attempt(0, merchant="mer_new"), ROUTING).action == "step_up"


def test_within_an_hour_no_more_than_the_cap_is_approved(standing, clock):
    approved = 0
    for _ in range(60):
        verdict = standing.decide(attempt(3_000), ROUTING)
        approved += 3_000 * (verdict.action == "approve")
        clock.advance(59)
    assert approved == 9_000
    assert verdict.action == "step_up"
    assert verdict.reasons[0] == CLIENT_HOURLY_CAP


def test_after_the_hour_it_approves_again(standing, clock):
    for _ in range(4):
        standing.decide(attempt(3_000), ROUTING)
    assert standing.decide(attempt(3_000), ROUTING).action == "step_up"
    clock.advance(66 * 60)
    assert standing.decide(attempt(3_000), ROUTING).action == "approve"


def test_what_is_stepped_up_takes_nothing_from_the_hour(standing):
    for _ in range(50):
        standing.decide(attempt(50_000), ROUTING)
    assert standing.decide(attempt(3_000), ROUTING).action == "approve"


@pytest.mark.parametrize(("routing", "currency"), [(None, "USD"), (ROUTING, "XXX")])
def test_without_a_policy_or_a_rate_it_steps_up(standing, routing, currency):
    verdict = standing.decide(attempt(1, currency), routing)
    assert (verdict.action, verdict.reasons) == ("step_up", (CLIENT_WITHOUT_POLICY,))


def test_where_the_checkout_cannot_step_up_it_declines(standing):
    refused = attempt(50_000, step_up_available=False)
    assert standing.decide(refused, ROUTING).action == "decline"
