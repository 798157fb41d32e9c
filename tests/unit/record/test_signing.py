"""Keys: who may seal, and who vouches for them."""

from __future__ import annotations

import stat

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.record.kms import KmsSigner
from app.record.signing import (
    FileSigner,
    Keyring,
    ensure_signing_key,
    key_id,
    load_public_key,
)


def fresh():
    return FileSigner(Ed25519PrivateKey.generate())


@pytest.fixture
def keyring(tmp_path):
    return Keyring(tmp_path / "keyring")


class Kms:
    """A key management service with one key."""

    def __init__(self, private_key):
        self.private_key = private_key

    def get_public_key(self, *, KeyId):  # noqa: N803
        public_key = self.private_key.public_key()
        return {
            "PublicKey": public_key.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        }

    def sign(self, *, KeyId, Message, MessageType, SigningAlgorithm):  # noqa: N803
        assert MessageType == "RAW"
        if SigningAlgorithm == "ED25519_SHA_512":
            return {"Signature": self.private_key.sign(Message)}
        assert SigningAlgorithm == "ECDSA_SHA_256"
        return {"Signature": self.private_key.sign(Message, ec.ECDSA(hashes.SHA256()))}


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "secrets" / "journal-key"
    one, other = ensure_signing_key(path), ensure_signing_key(path)
    assert key_id(one.public_key) == key_id(other.public_key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["journal-key"]


def test_a_file_with_another_kind_of_key_is_refused(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(ValueError, match="no Ed25519 key"):
        ensure_signing_key(path)


def test_a_signature_verifies_without_the_private_key(keyring):
    signer = fresh()
    keyring.add(signer.public_key)
    key = key_id(signer.public_key)
    assert keyring.verify(key, b"message", signer.sign(b"message")) is None
    assert "not by the key" in keyring.verify(key, b"other", signer.sign(b"message"))
    assert "not by the key" in keyring.verify(key, b"message", fresh().sign(b"message"))


def test_a_key_that_is_not_in_the_ring_does_not_count(keyring):
    signer = fresh()
    said = keyring.verify(key_id(signer.public_key), b"message", signer.sign(b"message"))
    assert "not in the keyring" in said


def test_a_key_under_the_name_of_another_does_not_count(keyring, tmp_path):
    genuine, forger = fresh(), fresh()
    keyring.add(forger.public_key)
    forged = tmp_path / "keyring" / f"{key_id(forger.public_key)}.pem"
    forged.rename(forged.with_name(f"{key_id(genuine.public_key)}.pem"))
    said = keyring.verify(key_id(genuine.public_key), b"message", forger.sign(b"message"))
    assert "not in the keyring" in said


def test_a_file_that_is_no_key_does_not_count(keyring, tmp_path):
    (tmp_path / "keyring").mkdir()
    (tmp_path / "keyring" / "abc.pem").write_text("no key")
    assert "not in the keyring" in keyring.verify("abc", b"message", b"")


@pytest.mark.parametrize(
    "root_key", [Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())]
)
def test_with_a_root_only_endorsed_keys_count(tmp_path, root_key):
    root, signer = KmsSigner(Kms(root_key), "alias/journal"), fresh()
    key, signature = key_id(signer.public_key), signer.sign(b"message")
    host = Keyring(tmp_path)
    host.add(signer.public_key)
    assert "vouches" in Keyring(tmp_path, root=root.public_key).verify(key, b"message", signature)
    host.endorse(signer.public_key, by=root)
    assert Keyring(tmp_path, root=root.public_key).verify(key, b"message", signature) is None
    stranger = Keyring(tmp_path, root=fresh().public_key)
    assert "vouches" in stranger.verify(key, b"message", signature)


def test_an_endorsement_of_one_key_is_none_of_another(tmp_path):
    root, one, other = fresh(), fresh(), fresh()
    keyring = Keyring(tmp_path, root=root.public_key)
    keyring.add(one.public_key)
    keyring.add(other.public_key)
    keyring.endorse(one.public_key, by=root)
    endorsed = tmp_path / f"{key_id(one.public_key)}.endorsed"
    endorsed.rename(tmp_path / f"{key_id(other.public_key)}.endorsed")
    said = keyring.verify(key_id(other.public_key), b"message", other.sign(b"message"))
    assert "vouches" in said


def test_a_kms_key_of_another_curve_is_refused():
    with pytest.raises(ValueError, match="neither Ed25519 nor P-256"):
        KmsSigner(Kms(ec.generate_private_key(ec.SECP384R1())), "alias/journal")


def test_a_public_key_reads_back_from_the_ring(keyring, tmp_path):
    signer = fresh()
    keyring.add(signer.public_key)
    (path,) = (tmp_path / "keyring").iterdir()
    assert key_id(load_public_key(path)) == path.stem == key_id(signer.public_key)
