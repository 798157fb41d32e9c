"""The routing document says what is in force, to one tenant, signed."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import msgspec
import pytest

from app.features.directory import MerchantEntry
from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, load_policy
from app.record.signing import ensure_signing_key, key_id
from app.routing import DOMAIN, LIFE_S, Routing, RoutingSource
from app.weights import Weights

NOW_MS = 1_783_000_000_000
ENDPOINTS = {"us-east-1": "http://a", "eu-west-1": "http://b"}


class OneMerchant:
    """A directory of one merchant of the tenant acme."""

    def get(self, tenant, merchant_id):
        if (tenant, merchant_id) != ("acme", "mer_1"):
            return None
        return MerchantEntry(tier="strategic", category="c", country="US")


@pytest.fixture
def signer(tmp_path):
    return ensure_signing_key(tmp_path / "key")


def source(signer, weights=None, directory=None, policy=None):
    policy = policy or load_policy(DEFAULT_POLICY)
    rates = load_rates(DEFAULT_RATES)
    return RoutingSource(
        endpoints=ENDPOINTS,
        weights=lambda: weights,
        policy=lambda: policy,
        rates=lambda: rates,
        directory=lambda: directory,
        answer_key=lambda tenant: tenant.encode().ljust(32, b"\0"),
        signer=signer,
        now_ms=lambda: NOW_MS,
    )


def routing(signed):
    return msgspec.json.decode(signed.payload, type=Routing)


def test_the_payload_is_signed_by_the_named_key(signer):
    signed = source(signer).signed("acme", [])
    digest = hashlib.sha256(signed.payload.encode()).digest()
    signer.public_key.verify(base64.urlsafe_b64decode(signed.signature), DOMAIN + digest)
    assert signed.key == key_id(signer.public_key)


def test_before_any_were_set_every_region_takes_all_and_the_version_is_0(signer):
    made = routing(source(signer).signed("acme", []))
    assert (made.version, made.issued_at) == (0, NOW_MS // 1_000)
    assert made.expires_at == made.issued_at + LIFE_S
    assert list(made.regions) == list(ENDPOINTS)
    assert {route.weight for route in made.regions.values()} == {100.0}


def test_weights_are_those_that_operators_set(signer):
    weights = Weights(version=4, weights={"eu-west-1": 10}, changed_at=datetime.now(UTC))
    made = routing(source(signer, weights).signed("acme", []))
    assert made.version == 4
    assert {name: route.weight for name, route in made.regions.items()} == {
        "us-east-1": 100.0,
        "eu-west-1": 10.0,
    }


def test_only_the_tiers_of_merchants_asked_for_are_told(signer):
    made = routing(source(signer, directory=OneMerchant()).signed("acme", ["mer_1", "mer_2"]))
    assert made.merchants == {"mer_1": "strategic"}
    assert made.tiers.keys() == {"strategic", "unknown"}
    assert made.tiers["strategic"].bands[0].action == "approve"
    assert made.tiers["strategic"].attempt_max > 0


def test_another_tenant_sees_neither_merchants_nor_the_answer_key(signer):
    ours = routing(source(signer, directory=OneMerchant()).signed("acme", ["mer_1"]))
    theirs = routing(source(signer, directory=OneMerchant()).signed("evil", ["mer_1"]))
    assert theirs.merchants == {}
    assert theirs.answer_key != ours.answer_key


def test_a_tier_without_caps_approves_nothing_by_itself(signer, tmp_path):
    text = DEFAULT_POLICY.read_text()
    kept = [line for line in text.splitlines() if "client_default:" not in line]
    path = tmp_path / "policy.yaml"
    path.write_text("\n".join(kept))
    made = routing(source(signer, policy=load_policy(path)).signed("acme", []))
    assert made.tiers["unknown"].attempt_max < 0
    assert made.tiers["unknown"].hourly_max < 0
