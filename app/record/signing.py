"""Keys that sign journals, and the public halves that an auditor checks them with.

A key's id is the SHA-256 of its public half, so the id in a seal already fixes key and algorithm:
there is no algorithm field that could be lied about. Seals are signed by a key in a file, in the
process that writes the journal: 32 to 37 us once a segment. A key in a key management service takes
milliseconds to seconds and fails on its own, so it never signs a seal: it endorses the host's
key, once, and may do so late (see `Keyring.endorse`).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

__all__ = [
    "FileSigner",
    "Keyring",
    "PublicKey",
    "Signer",
    "ensure_signing_key",
    "key_id",
    "load_public_key",
]

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey

ENDORSEMENT = b"stepdown key endorsement v1\n"
_KEY_ID = re.compile("[0-9a-f]{64}")


class Signer(Protocol):
    """A private key, wherever it is."""

    @property
    def public_key(self) -> PublicKey:
        """Its public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign a message of at most 4,096 bytes."""
        ...


class FileSigner:
    """An Ed25519 key from a PEM file. Implements `Signer`."""

    def __init__(self, private_key: ed25519.Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key()

    def sign(self, message: bytes) -> bytes:
        """Sign a message; 64 bytes."""
        return self._private_key.sign(message)


class _Endorsement(msgspec.Struct, frozen=True):
    by: str
    signature: bytes


class Keyring:
    """A folder of public keys, `<key id>.pem`, beside the segments that they verify.

    Whoever can write the segments can write this folder too. So an auditor keeps the keyring, or
    names the `root`: the public key whose endorsement a key must then have to count.
    """

    def __init__(self, folder: Path, *, root: PublicKey | None = None) -> None:
        self._folder = folder
        self._root = root
        self._known: dict[str, PublicKey | None] = {}

    def add(self, public_key: PublicKey) -> None:
        """Keep a public key; one that is there already is left alone."""
        path = self._folder / f"{key_id(public_key)}.pem"
        if not path.exists():
            pem = public_key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            _replace(path, pem)

    def endorse(self, public_key: PublicKey, *, by: Signer) -> None:
        """Have another key vouch for one of this ring, for auditors who know only that one."""
        name = key_id(public_key)
        endorsement = _Endorsement(by=key_id(by.public_key), signature=by.sign(_endorsed(name)))
        _replace(self._folder / f"{name}.endorsed", msgspec.json.encode(endorsement))

    def verify(self, key: str, message: bytes, signature: bytes) -> str | None:
        """What is wrong with a signature; None when it is good.

        Args:
            key: id of the key that is said to have signed.
            message: what was signed.
            signature: to check.
        """
        if key not in self._known:
            # The id names a file: one that is no hash could name a file of somebody else's.
            self._known[key] = self._load(key) if _KEY_ID.fullmatch(key) else None
        public_key = self._known[key]
        if public_key is None:
            return f"the key {key[:16]} is not in the keyring, or no one vouches for it"
        if not _signed(public_key, message, signature):
            return f"the signature is not by the key {key[:16]}"
        return None

    def _load(self, key: str) -> PublicKey | None:
        path = self._folder / f"{key}.pem"
        try:
            public_key = load_public_key(path)
        except (OSError, ValueError):
            return None
        if path.stem != key_id(public_key):
            return None
        return public_key if self._root is None or self._endorsed(key, self._root) else None

    def _endorsed(self, key: str, root: PublicKey) -> bool:
        try:
            endorsement = msgspec.json.decode(
                (self._folder / f"{key}.endorsed").read_bytes(), type=_Endorsement
            )
        except (OSError, msgspec.MsgspecError):
            return False
        return _signed(root, _endorsed(key), endorsement.signature)


def ensure_signing_key(path: Path) -> FileSigner:
    """The signing key in a file, made at the first start; only its owner can read it.

    Raises:
        OSError: the file cannot be read or made.
        ValueError: it holds no Ed25519 private key.
    """
    if not path.exists():
        pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _create(path, pem)
    private_key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private_key, ed25519.Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")  # noqa: TRY004 - wrong content
    return FileSigner(private_key)


def load_public_key(path: Path) -> PublicKey:
    """Read a public key from a PEM file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no key of a kind that signs here.
    """
    public_key = serialization.load_pem_public_key(path.read_bytes())
    if not isinstance(public_key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise ValueError(f"{path} holds no key that signs here")  # noqa: TRY004 - wrong content
    return public_key


def key_id(public_key: PublicKey) -> str:
    """A key's id: SHA-256 of its DER form (SubjectPublicKeyInfo), hexadecimal."""
    der = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(der).hexdigest()


def _endorsed(key: str) -> bytes:
    return ENDORSEMENT + key.encode()


def _signed(public_key: PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        if isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, message)
        else:
            public_key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _create(path: Path, content: bytes) -> None:
    """Make a private file unless another process is first: that one decides for all."""
    fresh = _write_beside(path, content, mode=0o600)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _replace(path: Path, content: bytes) -> None:
    _write_beside(path, content, mode=0o644).replace(path)


def _write_beside(path: Path, content: bytes, *, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
    return fresh
