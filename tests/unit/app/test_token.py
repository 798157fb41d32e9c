"""Decision tokens: what was signed is read back, and nothing else is."""

from __future__ import annotations

import base64
import stat

import pytest

from app.record.token import Claims, InvalidToken, TokenSigner, body_hash, token_secret

CLAIMS = Claims("dec_1", "a1", body_hash(b"{}"), "approve", 1_000)
NOW_S = 999.0


@pytest.fixture
def signer():
    return TokenSigner(b"s" * 32)


def test_a_token_says_what_was_decided(signer):
    assert signer.verify(signer.sign(CLAIMS, tenant="t1"), tenant="t1", now_s=NOW_S) == CLAIMS


def test_a_token_is_made_of_characters_that_a_url_may_hold(signer):
    token = signer.sign(CLAIMS, tenant="t1")
    assert token.startswith("v1.")
    assert all(char.isalnum() or char in "-_." for char in token)


def test_every_region_with_the_secret_reads_it(signer):
    assert (
        TokenSigner(b"s" * 32).verify(signer.sign(CLAIMS, tenant="t1"), tenant="t1", now_s=NOW_S)
        == CLAIMS
    )


def test_another_tenant_cannot_be_shown_it(signer):
    with pytest.raises(InvalidToken, match="not one of ours"):
        signer.verify(signer.sign(CLAIMS, tenant="t1"), tenant="t2", now_s=NOW_S)


def test_another_secret_reads_nothing(signer):
    with pytest.raises(InvalidToken, match="not one of ours"):
        TokenSigner(b"t" * 32).verify(signer.sign(CLAIMS, tenant="t1"), tenant="t1", now_s=NOW_S)


@pytest.mark.parametrize("now_s", [1_000.0, 1_000.5, 2e9])
def test_a_token_ends(signer, now_s):
    with pytest.raises(InvalidToken, match="expired"):
        signer.verify(signer.sign(CLAIMS, tenant="t1"), tenant="t1", now_s=now_s)


def test_no_character_can_be_changed(signer):
    token = signer.sign(CLAIMS, tenant="t1")
    for at, char in enumerate(token):
        changed = token[:at] + ("A" if char != "A" else "B") + token[at + 1 :]
        with pytest.raises(InvalidToken):
            signer.verify(changed, tenant="t1", now_s=NOW_S)


@pytest.mark.parametrize("token", ["", ".", "..", "v1..", "v1.a", "\ud800", "é.é.é", "v1." * 1_000])
def test_what_is_no_token_is_invalid(signer, token):
    with pytest.raises(InvalidToken):
        signer.verify(token, tenant="t1", now_s=NOW_S)


def test_a_token_of_another_version_is_not_read(signer):
    signed = b"v2.e30"
    mac = base64.urlsafe_b64encode(signer._mac(signed, "t1")).rstrip(b"=")
    with pytest.raises(InvalidToken, match="another version"):
        signer.verify((signed + b"." + mac).decode(), tenant="t1", now_s=NOW_S)


def test_a_short_secret_is_none():
    with pytest.raises(ValueError, match="32 bytes"):
        TokenSigner(b"short")


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "secrets" / "token"
    made = token_secret(path)
    assert len(made) == 32
    assert token_secret(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["token"]
