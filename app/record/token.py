"""Decision tokens: what was decided, signed, so that no one has to be asked again.

    v1.<base64url(MessagePack [decision, attempt, body hash, action, expiry])>.<base64url(HMAC)>

The checkout hands the token back with outcomes; any region verifies it without a datastore.
HMAC-SHA256 under a tenant's answer key, which follows from a secret that the regions share: under
3 us, where an Ed25519 signature alone costs 32. The tenant's own clients get the answer key with
the signed routing document and check answers with it. With it they could make tokens, too: to the
service a token is as good as the tenant's word, and the journal is the proof.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from binascii import b2a_base64
from pathlib import Path
from typing import NamedTuple

import msgspec

__all__ = ["Claims", "InvalidToken", "TokenSigner", "token_secret"]

VERSION = b"v1"
BODY_HASH_BYTES = 16
ANSWER_KEY = b"stepdown answer key v1\0"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class InvalidToken(ValueError):  # noqa: N818 - a fact about a token
    """Not a token of ours, or one that has expired."""


class Claims(NamedTuple):
    """What a token says.

    Attributes:
        decision_id: of the service.
        attempt_id: of the caller.
        body_hash: first 16 bytes of the SHA-256 of the canonical request.
        action: that was answered.
        expires_s: when the token ends, seconds since the epoch.
    """

    decision_id: str
    attempt_id: str
    body_hash: bytes
    action: str
    expires_s: int


class TokenSigner:
    """Signs and verifies tokens."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("a token secret has at least 32 bytes")
        self._secret = secret
        self._keyed: dict[str, hmac.HMAC] = {}  # as many as there are tenants with keys

    def answer_key(self, tenant: str) -> bytes:
        """What a tenant's answers are signed with, 32 bytes; only that tenant may see it."""
        return hmac.digest(self._secret, ANSWER_KEY + tenant.encode(), hashlib.sha256)

    def sign(self, claims: Claims, *, tenant: str) -> str:
        """The token of a decision."""
        signed = VERSION + b"." + _b64(msgspec.msgpack.encode(claims))
        return (signed + b"." + _b64(self._mac(signed, tenant))).decode("ascii")

    def verify(self, token: str, *, tenant: str, now_s: float) -> Claims:
        """Read a token of a tenant.

        Raises:
            InvalidToken: it is not ours, was changed, or has expired.
        """
        signed, _, mac = token.encode("utf-8", "replace").rpartition(b".")
        if not hmac.compare_digest(_b64(self._mac(signed, tenant)), mac):
            raise InvalidToken("the token is not one of ours")
        version, _, body = signed.partition(b".")
        if version != VERSION:
            raise InvalidToken("the token is of another version")
        claims = msgspec.msgpack.decode(
            base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)), type=Claims
        )
        if claims.expires_s <= now_s:
            raise InvalidToken("the token has expired")
        return claims

    def _mac(self, signed: bytes, tenant: str) -> bytes:
        known = self._keyed.get(tenant)
        if known is None:
            known = hmac.new(self.answer_key(tenant), digestmod=hashlib.sha256)
            self._keyed[tenant] = known
        keyed = known.copy()  # the key schedule is done once
        keyed.update(signed)
        return keyed.digest()


def body_hash(canonical: bytes) -> bytes:
    """Identity of a request's content, 16 bytes."""
    return hashlib.sha256(canonical).digest()[:BODY_HASH_BYTES]


def token_secret(path: Path) -> bytes:
    """The secret in a file, made at the first start."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}-{os.getpid()}")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(fresh, path)  # the first process to get here decides for all
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_bytes()


def _b64(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_URL_SAFE).rstrip(b"=")
