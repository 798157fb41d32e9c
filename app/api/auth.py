"""API keys: hashed at rest, scoped, compared in constant time.

A key reads `sk_<id>_<secret>`. The file holds the SHA-256 of the whole key; the secret has 256
bits, so no slow hash is needed. One that was right is known by itself in memory.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import os
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.api.problem import Forbidden, Unauthenticated

__all__ = ["Caller", "Key", "Keys", "Scope", "add_key", "kept_keys", "load_keys", "revoke_key"]


class Scope(enum.StrEnum):
    """What a key may do."""

    DECIDE = "decide"
    OUTCOME = "outcome"
    LABEL = "label"
    READ = "read"
    OPERATE = "operate"


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key as kept: never the key itself."""

    id: str
    sha256: str
    tenant: str
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request is from."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str


class Keys:
    """All keys in force."""

    def __init__(self, keys: Collection[Key]) -> None:
        self._keys = {
            key.id: (bytes.fromhex(key.sha256), Caller(key.tenant, frozenset(key.scopes), key.id))
            for key in keys
        }
        # Keys that were presented and are right, as many as are in force at most: a look-up goes by
        # a hash that nobody outside can compute, so that its time tells nothing of a key.
        self._right: dict[bytes, Caller] = {}

    def authenticate(self, presented: bytes | None, scope: Scope) -> Caller:
        """Whom the key belongs to.

        Raises:
            Unauthenticated: no key, or not one of ours.
            Forbidden: the key lacks the scope.
        """
        if presented is None:
            raise Unauthenticated("Send your API key in the X-Api-Key header.")
        caller = self._right.get(presented) or self._checked(presented)
        if scope not in caller.scopes:
            raise Forbidden(f"This API key lacks the scope {scope!s}.")
        return caller

    def _checked(self, presented: bytes) -> Caller:
        parts = presented.split(b"_", 2)
        known = self._keys.get(parts[1].decode("latin-1")) if len(parts) == 3 else None
        # An unknown id takes the same steps as a wrong secret.
        expected, caller = known or (bytes(32), None)
        if not hmac.compare_digest(hashlib.sha256(presented).digest(), expected) or caller is None:
            raise Unauthenticated("The API key is not known.")
        self._right[presented] = caller
        return caller


def load_keys(path: Path) -> Keys:
    """Load the key file.

    Raises:
        ValueError: it cannot be used.
    """
    try:
        return Keys(msgspec.json.decode(path.read_bytes(), type=list[Key]))
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"{path}: {error}.") from None


def add_key(path: Path, *, tenant: str, scopes: Collection[Scope]) -> str:
    """Make a key, keep its hash, return it: the only time it is seen.

    Raises:
        ValueError: the file cannot be used.
    """
    id = secrets.token_hex(4)
    key = f"sk_{id}_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    made = Key(id=id, sha256=digest, tenant=tenant, scopes=tuple(scopes))
    _write(path, [*kept_keys(path), made])
    return key


def revoke_key(path: Path, id: str) -> bool:
    """Take a key out of force. Returns whether there was one of that id.

    Raises:
        ValueError: the file cannot be used.
    """
    keys = kept_keys(path)
    left = [key for key in keys if key.id != id]
    _write(path, left)
    return len(left) < len(keys)


def kept_keys(path: Path) -> list[Key]:
    """The keys in a file; none where there is no file.

    Raises:
        ValueError: the file cannot be used.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Key])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path}: {error}") from None


def _write(path: Path, keys: Collection[Key]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(list(keys))))
    fresh.replace(path)
