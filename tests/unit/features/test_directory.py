"""The merchant directory: signed by a pinned key, or refused; never older than what is held."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.features.directory import MerchantEntry, load_directory, publish_directory
from app.policy import Overrides
from app.publish import PublicationError, Published, publish, roll_back
from app.record.signing import FileSigner, Keyring, key_id

PLAIN = MerchantEntry(tier="small", category="books", country="GB")
OWN = MerchantEntry(
    tier="large",
    category="travel",
    country="DE",
    thresholds=Overrides(step_up=0.1, decline=0.5),
    lists=("hot", "block"),
    exemptions=("tra",),
)


def fresh():
    return FileSigner(Ed25519PrivateKey.generate())


@pytest.fixture
def signer():
    return fresh()


@pytest.fixture
def trusted(tmp_path, signer):
    Keyring(tmp_path / "trusted").add(signer.public_key)
    return tmp_path / "trusted"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "merchants"


@pytest.fixture
def load(trusted):
    return partial(load_directory, trusted=trusted)


@pytest.fixture
def put(folder, signer):
    def put(number=1, merchants=(("m2", OWN), ("m1", PLAIN)), *, by=None):
        return publish_directory(
            folder, tenant="t", merchants=merchants, number=number, signer=by or signer
        )

    return put


def test_a_merchants_entry_is_read_as_it_was_published(folder, put, load):
    directory = load(folder, put())
    assert directory.get("t", "m1") == PLAIN
    assert directory.get("t", "m2") == OWN


def test_a_merchant_that_is_not_listed_or_of_another_tenant_has_no_entry(folder, put, load):
    directory = load(folder, put())
    assert directory.get("t", "m3") is None
    assert directory.get("u", "m1") is None


def test_an_entry_says_which_lists_and_exemptions_the_merchant_has():
    assert OWN.listed("hot")
    assert not OWN.listed("allow")
    assert OWN.exempt("tra")
    assert not PLAIN.exempt("tra")
    assert PLAIN.thresholds is None


def test_an_entry_is_small():
    assert len(msgspec.msgpack.encode(PLAIN)) == 19


def test_the_directory_says_its_number_and_how_many_it_lists(folder, put, load):
    directory = load(folder, put(number=12))
    assert (directory.number, directory.facts.merchants) == (12, 2)


def test_a_merchant_that_comes_twice_is_told(put):
    with pytest.raises(PublicationError, match="t:merchant:m1 comes twice"):
        put(merchants=[("m1", PLAIN), ("m1", OWN)])


def test_an_unsigned_directory_is_refused(folder, put, load):
    version = put()
    (folder / "versions" / version / "manifest.sig").unlink()
    with pytest.raises(PublicationError, match=f"^merchants {version} is not signed.$"):
        load(folder, version)


def test_a_directory_signed_by_an_unknown_key_is_refused(folder, put, load):
    stranger = fresh()
    version = put(by=stranger)
    with pytest.raises(
        PublicationError, match=f"the key {key_id(stranger.public_key)[:16]} is not in the keyring"
    ):
        load(folder, version)


def test_a_signature_for_another_directory_is_refused(folder, put, load):
    first, second = put(1), put(2)
    versions = folder / "versions"
    (versions / first / "manifest.sig").rename(versions / second / "manifest.sig")
    with pytest.raises(PublicationError, match="the signature is not by the key"):
        load(folder, second)


def test_a_stranger_cannot_bring_a_key_of_their_own_along(folder, put, load, tmp_path):
    """A key's id names a file: one that leads out of the keyring would be the sender's choice."""
    stranger = fresh()
    version = put(by=stranger)
    where = folder / "versions" / version
    Keyring(where).add(stranger.public_key)
    signature = where / "manifest.sig"
    name = key_id(stranger.public_key)
    led_out = f"../merchants/versions/{version}/{name}"
    assert (tmp_path / "trusted" / f"{led_out}.pem").exists()
    signature.write_text(signature.read_text().replace(name, led_out))
    with pytest.raises(PublicationError, match="has no readable signature"):
        load(folder, version)


def test_a_changed_file_is_refused_though_the_signature_is_right(folder, put, load):
    version = put()
    data = folder / "versions" / version / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"small", b"large"))
    with pytest.raises(PublicationError, match=r"data\.mdb is not what was published"):
        load(folder, version)


def test_a_refused_directory_leaves_the_last_good_one(folder, put, load):
    held = Published(folder, load)
    put(1)
    held.refresh()
    put(2, by=fresh())
    held.refresh()
    assert "not in the keyring" in held.refused
    assert held.value.number == 1
    put(3)
    held.refresh()
    assert (held.value.number, held.refused) == (3, None)


def test_a_key_that_is_taken_out_of_the_ring_signs_no_more(folder, put, load, trusted):
    version = put()
    load(folder, version)
    for key in trusted.iterdir():
        key.unlink()
    with pytest.raises(PublicationError, match="not in the keyring"):
        load(folder, version)


def test_a_directory_with_a_lower_number_is_refused_until_it_is_rolled_back(folder, put, load):
    held = Published(folder, load)
    old = put(7)
    put(8)
    held.refresh()
    with pytest.raises(PublicationError, match=r"\(number 6\) is older than"):
        put(6)
    (folder / "current").write_text(old)
    held.refresh()
    assert "(number 7) is older than" in held.refused
    assert held.value.number == 8
    roll_back(folder, old)
    held.refresh()
    assert (held.value.number, held.refused) == (7, None)


def test_a_directory_of_a_release_with_other_facts_is_refused(folder, put, load, signer):
    data = (folder / "versions" / put() / "data.mdb").read_bytes()
    version = publish(
        folder, kind="merchants", files={"data.mdb": data}, facts={}, number=2, signer=signer
    )
    with pytest.raises(PublicationError, match="is of another release"):
        load(folder, version)
