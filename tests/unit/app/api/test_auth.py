"""API keys: only the whole key opens, and only what its scopes say."""

from __future__ import annotations

import hashlib
import stat

import msgspec
import pytest

from app.api.auth import Keys, Scope, add_key, load_keys, revoke_key
from app.api.problem import Forbidden, Unauthenticated


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def test_a_key_says_whose_it_is(path):
    key = add_key(path, tenant="acme", scopes=[Scope.DECIDE])
    caller = load_keys(path).authenticate(key.encode(), Scope.DECIDE)
    assert caller.tenant == "acme"
    assert caller.scopes == {Scope.DECIDE}


def test_keys_are_added_to_those_before(path):
    keys = [add_key(path, tenant=tenant, scopes=[Scope.READ]) for tenant in ("one", "two")]
    loaded = load_keys(path)
    tenants = [loaded.authenticate(key.encode(), Scope.READ).tenant for key in keys]
    assert tenants == ["one", "two"]


def test_the_file_holds_no_key_and_is_for_its_owner_alone(path):
    key = add_key(path, tenant="acme", scopes=[Scope.DECIDE])
    secret = key.split("_", 2)[2]
    assert secret.encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_may_hold_the_sign_that_parts_a_key(path):
    key = "sk_0123_a_b_c"
    digest = hashlib.sha256(key.encode()).hexdigest()
    record = {"id": "0123", "sha256": digest, "tenant": "acme", "scopes": ["decide"]}
    path.write_bytes(msgspec.json.encode([record]))
    assert load_keys(path).authenticate(key.encode(), Scope.DECIDE).tenant == "acme"


def test_a_key_without_the_scope_is_forbidden(path):
    key = add_key(path, tenant="acme", scopes=[Scope.LABEL])
    with pytest.raises(Forbidden, match="decide"):
        load_keys(path).authenticate(key.encode(), Scope.DECIDE)


def test_a_key_that_is_known_opens_no_more_than_before(path):
    key, other = (
        add_key(path, tenant=tenant, scopes=[scope]).encode()
        for tenant, scope in (("acme", Scope.DECIDE), ("other", Scope.READ))
    )
    keys = load_keys(path)
    for _ in range(2):
        assert keys.authenticate(key, Scope.DECIDE).tenant == "acme"
        assert keys.authenticate(other, Scope.READ).tenant == "other"
        with pytest.raises(Forbidden):
            keys.authenticate(key, Scope.READ)
        with pytest.raises(Unauthenticated):
            keys.authenticate(key[:-1], Scope.DECIDE)


def test_a_key_that_is_revoked_is_unknown_to_keys_that_are_loaded_then(path):
    key = add_key(path, tenant="acme", scopes=[Scope.DECIDE])
    load_keys(path).authenticate(key.encode(), Scope.DECIDE)
    revoke_key(path, key.split("_")[1])
    with pytest.raises(Unauthenticated):
        load_keys(path).authenticate(key.encode(), Scope.DECIDE)


@pytest.mark.parametrize(
    "change",
    [
        lambda key: None,
        lambda key: b"",
        lambda key: key[:-1],
        lambda key: key + b"x",
        lambda key: key.replace(b"sk_", b"pk_"),
        lambda key: key.rsplit(b"_", 1)[0],
        lambda key: b"sk_unknown_" + key.split(b"_", 2)[2],
        lambda key: b"sk_\xff_\xff",
    ],
    ids=["none", "empty", "short", "long", "prefix", "no_secret", "unknown_id", "not_ascii"],
)
def test_anything_but_the_whole_key_is_unknown(path, change):
    key = add_key(path, tenant="acme", scopes=tuple(Scope)).encode()
    with pytest.raises(Unauthenticated):
        load_keys(path).authenticate(change(key), Scope.DECIDE)


def test_without_keys_nobody_is_known():
    with pytest.raises(Unauthenticated):
        Keys(()).authenticate(b"sk_1_secret", Scope.DECIDE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'[{"id": "1", "sha256": "xx", "tenant": "acme", "scopes": []}]',
        b'[{"id": "1", "sha256": "00", "tenant": "acme", "scopes": ["everything"]}]',
        b'[{"id": "1", "sha256": "00", "tenant": "acme", "scopes": [], "extra": 1}]',
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused_by_name(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"keys\.json"):
        load_keys(path)


def test_a_key_file_that_is_not_there_is_refused_by_name(path):
    with pytest.raises(ValueError, match=r"keys\.json"):
        load_keys(path)
