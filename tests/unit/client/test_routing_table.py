"""The routing document: only of a trusted key, never an older one, the last good one kept."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec
import pytest

from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, load_policy
from app.record.signing import Keyring, ensure_signing_key
from app.record.token import TokenSigner
from app.routing import RoutingSource
from app.weights import Weights
from stepdown_client.errors import RoutingError
from stepdown_client.routing import RoutingTable, trusted_keys

NOW_S = 1_783_000_000


@pytest.fixture
def signer(tmp_path):
    made = ensure_signing_key(tmp_path / "key")
    Keyring(tmp_path / "trusted").add(made.public_key)
    return made


@pytest.fixture
def table(tmp_path, signer):
    return lambda: RoutingTable(trusted_keys(tmp_path / "trusted"), cache=tmp_path / "cache")


def document(signer, *, version=1, at_s=NOW_S, tenant="acme"):
    source = RoutingSource(
        endpoints={"us-east-1": "http://a"},
        weights=lambda: Weights(version=version, weights={"a": 100}, changed_at=datetime.now(UTC)),
        policy=lambda: load_policy(DEFAULT_POLICY),
        rates=lambda: load_rates(DEFAULT_RATES),
        directory=lambda: None,
        answer_key=TokenSigner(b"s" * 32).answer_key,
        signer=signer,
        now_ms=lambda: at_s * 1_000,
    )
    return msgspec.json.encode(source.signed(tenant, []))


def test_a_document_of_a_trusted_key_is_taken(table, signer):
    held = table()
    assert held.offer(document(signer, version=3)).version == 3
    assert held.answer_key == TokenSigner(b"s" * 32).answer_key("acme")


def test_a_document_of_another_key_is_refused(table, tmp_path):
    other = ensure_signing_key(tmp_path / "other")
    held = table()
    with pytest.raises(RoutingError, match="not trusted"):
        held.offer(document(other))
    assert held.routing is None
    assert held.refused == 1


def test_no_byte_of_the_payload_can_be_changed(table, signer):
    signed = msgspec.json.decode(document(signer))
    signed["payload"] = signed["payload"].replace('"weight":100', '"weight":0')
    with pytest.raises(RoutingError, match="signature"):
        table().offer(msgspec.json.encode(signed))


@pytest.mark.parametrize(("version", "at_s"), [(2, NOW_S + 60), (3, NOW_S - 1)])
def test_an_older_document_is_refused_and_the_last_good_one_stays(table, signer, version, at_s):
    held = table()
    held.offer(document(signer, version=3))
    with pytest.raises(RoutingError, match="older"):
        held.offer(document(signer, version=version, at_s=at_s))
    assert held.routing.version == 3


def test_another_tenants_document_is_refused(table, signer):
    held = table()
    held.offer(document(signer))
    with pytest.raises(RoutingError, match="tenant"):
        held.offer(document(signer, tenant="evil", at_s=NOW_S + 1))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"<html>", b'{"payload":"{}","key":"k","signature":"!"}']
)
def test_what_is_no_document_is_refused(table, content):
    with pytest.raises(RoutingError):
        table().offer(content)


def test_the_last_good_one_outlives_a_restart_for_its_owner_alone(table, signer, tmp_path):
    table().offer(document(signer, version=5))
    assert table().routing.version == 5
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


def test_a_cache_that_somebody_changed_is_not_used(table, signer, tmp_path):
    table().offer(document(signer))
    cache = tmp_path / "cache"
    cache.write_bytes(cache.read_bytes().replace(b"http://a", b"http://b"))
    held = table()
    assert held.routing is None
    assert held.refused == 1


def test_an_expired_document_stays_in_force_and_says_so(table, signer):
    held = table()
    held.offer(document(signer))
    assert not held.expired(NOW_S + 3_599)
    assert held.expired(NOW_S + 3_600)
    assert held.routing is not None


def test_a_key_file_that_is_none_is_said_by_its_name(tmp_path):
    (tmp_path / "nonsense.pem").write_text("nonsense")
    with pytest.raises(RoutingError, match=r"nonsense\.pem"):
        trusted_keys(tmp_path)


def test_a_signature_of_another_message_is_none(table, signer):
    signed = msgspec.json.decode(document(signer))
    signed["signature"] = base64.urlsafe_b64encode(signer.sign(b"other")).decode()
    with pytest.raises(RoutingError, match="signature"):
        table().offer(msgspec.json.encode(signed))
