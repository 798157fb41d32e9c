"""The routing document: verified, never taken back, kept when it is old.

signature   Ed25519 over SHA-256 of the payload, by a key that the client was given
older       a lower version, or the same one issued earlier, is refused
expired     the last good one stays in force (fail static), and `expired` says so
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from msgspec import Struct

from stepdown_client.answer import Action
from stepdown_client.errors import RoutingError

__all__ = ["Band", "RegionRoute", "Routing", "RoutingTable", "TierStanding", "trusted_keys"]

_DOMAIN = b"stepdown routing v1\n"
_PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


class RegionRoute(Struct, frozen=True, kw_only=True):
    """One region: where it is, and how much of its clients' attempts it takes, percent."""

    endpoint: str
    weight: float


class Band(Struct, frozen=True, kw_only=True):
    """An action for amounts up to and including `up_to`; None: for all above."""

    up_to: int | None
    action: Action


class TierStanding(Struct, frozen=True, kw_only=True):
    """What to do at a tier while no region answers; reference minor units."""

    bands: list[Band]
    attempt_max: int
    hourly_max: int


class Routing(Struct, frozen=True, kw_only=True):
    """The payload; fields of later versions are left aside."""

    tenant: str
    version: int
    issued_at: int
    expires_at: int
    regions: dict[str, RegionRoute]
    policy_version: int
    rates: dict[str, float]
    tiers: dict[str, TierStanding]
    merchants: dict[str, str]
    answer_key: str


class _Signed(Struct, frozen=True, kw_only=True):
    payload: str
    key: str
    signature: str


def trusted_keys(folder: Path) -> dict[str, _PublicKey]:
    """Public keys of a folder (`*.pem`), by id: SHA-256 of the DER form.

    Raises:
        RoutingError: one cannot be read.
    """
    keys: dict[str, _PublicKey] = {}
    for path in sorted(folder.glob("*.pem")):
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RoutingError(f"{path} is no public key: {error}") from None
        if isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
            der = key.public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            keys[hashlib.sha256(der).hexdigest()] = key
    return keys


class RoutingTable:
    """The routing document in force.

    Attributes:
        routing: the last good one; None before the first.
        answer_key: what regions sign answers with; None before the first.
        refused: documents that were refused.
    """

    def __init__(self, keys: Mapping[str, _PublicKey], *, cache: Path | None) -> None:
        """Begin with what was kept.

        Args:
            keys: that may sign.
            cache: file that keeps the last good one; None for none.
        """
        self._keys = keys
        self._cache = cache
        self.routing: Routing | None = None
        self.answer_key: bytes | None = None
        self.refused = 0
        if cache is not None and cache.exists():
            try:
                self._take(cache.read_bytes())
            except (OSError, RoutingError):
                self.refused += 1

    def offer(self, content: bytes) -> Routing:
        """Take a document over if it is good and newer.

        Raises:
            RoutingError: it is not to be used; the last good one stays.
        """
        try:
            self._take(content)
        except RoutingError:
            self.refused += 1
            raise
        if self._cache is not None:
            # What cannot be kept is still in force; the next one may find room.
            with contextlib.suppress(OSError):
                _write_private(self._cache, content)
        assert self.routing is not None
        return self.routing

    def expired(self, now_s: float) -> bool:
        """Whether the one in force should have been followed by another."""
        return self.routing is not None and self.routing.expires_at <= now_s

    def _take(self, content: bytes) -> None:
        try:
            signed = msgspec.json.decode(content, type=_Signed)
            self._check(signed)
            routing = msgspec.json.decode(signed.payload, type=Routing)
            key = base64.urlsafe_b64decode(routing.answer_key)
        except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError) as error:
            raise RoutingError(f"it does not read: {error}") from None
        problem = _problem(routing, key) or _older(routing, self.routing)
        if problem is not None:
            raise RoutingError(problem)
        self.routing, self.answer_key = routing, key

    def _check(self, signed: _Signed) -> None:
        key = self._keys.get(signed.key)
        if key is None:
            raise RoutingError(f"the key {signed.key[:16]} is not trusted")
        message = _DOMAIN + hashlib.sha256(signed.payload.encode()).digest()
        signature = base64.urlsafe_b64decode(signed.signature)
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, message)
            else:
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise RoutingError(f"the signature is not by the key {signed.key[:16]}") from None


def _problem(routing: Routing, key: bytes) -> str | None:
    if not routing.regions or "unknown" not in routing.tiers or len(key) < 32:
        return "it lacks regions, the tier 'unknown' or the answer key"
    if any(not _ends_open(tier.bands) for tier in routing.tiers.values()):
        return "a tier has no band for the highest amounts"
    return None


def _ends_open(bands: Iterable[Band]) -> bool:
    *_, last = [band.up_to for band in bands] or [0]
    return last is None


def _older(routing: Routing, held: Routing | None) -> str | None:
    if held is None or routing.tenant != held.tenant:
        return None if held is None else "it is another tenant's"
    if (routing.version, routing.issued_at) < (held.version, held.issued_at):
        return f"version {routing.version} is older than the one in force, {held.version}"
    return None


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(fresh).replace(path)
