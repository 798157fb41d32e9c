"""What a published version consists of, and the check that it still does.

The manifest holds the SHA-256 of every file; the version is named by the SHA-256 of the manifest;
the signature, where there is one, is over the manifest. So one trusted key vouches for all of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from app.errors import OperatorError
from app.record.signing import Keyring, Signer, key_id

__all__ = [
    "MANIFEST",
    "SIGNATURE",
    "Manifest",
    "PublicationError",
    "encode",
    "name_of",
    "read_manifest",
    "sha256",
    "sign",
    "verified",
]

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
SIGNED = b"stepdown publication v1\n"

# A key's id names a file of the keyring: nothing but a hash gets that far.
_KeyId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class PublicationError(OperatorError):
    """A published version cannot be used. One sentence that says why."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version consists of.

    Attributes:
        kind: what is published ("model", "snapshot", "merchants").
        files: SHA-256 of each file by name, hexadecimal.
        facts: what the publisher says of it, part of the version's identity; whoever loads the
            kind reads them into a type of its own.
        number: orders the versions of a kind; 0 where there is no order.
    """

    kind: str
    files: dict[str, str]
    facts: dict[str, Any]
    number: int = 0


class _Signature(msgspec.Struct, frozen=True):
    key: _KeyId
    signature: bytes


def encode(manifest: Manifest) -> bytes:
    """The document that is stored, named and signed."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"))


def name_of(document: bytes) -> str:
    """The version that a manifest is of."""
    return hashlib.sha256(document).hexdigest()[:12]


def sign(document: bytes, signer: Signer) -> bytes:
    """The signature file of a manifest."""
    signature = signer.sign(_signed(document))
    return msgspec.json.encode(_Signature(key_id(signer.public_key), signature))


def read_manifest(folder: Path, version: str) -> tuple[Manifest, bytes]:
    """A version's manifest, and the document that it was read from.

    Raises:
        PublicationError: it is missing or changed.
    """
    try:
        document = (folder / "versions" / version / MANIFEST).read_bytes()
        manifest = msgspec.json.decode(document, type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise PublicationError(f"version {version} cannot be read: {error}.") from None
    if name_of(document) != version:
        raise PublicationError(f"version {version}: {MANIFEST} is not what was published.")
    return manifest, document


def verified(folder: Path, version: str, *, kind: str, trusted: Path | None = None) -> Manifest:
    """Check every file of a version against its manifest, and that against its signature.

    Args:
        folder: where the kind is published.
        version: to check.
        kind: what it must be.
        trusted: folder of the public keys (`Keyring`) that may sign it; None asks for no
            signature.

    Raises:
        PublicationError: something is missing, changed, of another kind, or not signed by a
            trusted key.
    """
    manifest, document = read_manifest(folder, version)
    if manifest.kind != kind:
        raise PublicationError(f"{version} is a {manifest.kind}, not a {kind}.")
    where = folder / "versions" / version
    if trusted is not None:
        wrong = _wrong_signature(where / SIGNATURE, document, trusted)
        if wrong is not None:
            raise PublicationError(f"{kind} {version} {wrong}.")
    try:
        for name, expected in manifest.files.items():
            if sha256(where / name) != expected:
                raise PublicationError(f"{kind} {version}: {name} is not what was published.")
    except OSError as error:
        raise PublicationError(f"{kind} {version} cannot be read: {error}.") from None
    return manifest


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wrong_signature(path: Path, document: bytes, trusted: Path) -> str | None:
    try:
        signature = msgspec.json.decode(path.read_bytes(), type=_Signature)
    except FileNotFoundError:
        return "is not signed"
    except (OSError, msgspec.MsgspecError) as error:
        return f"has no readable signature: {error}"
    # The ring is read anew each time, so a key that is added or taken away counts at once.
    wrong = Keyring(trusted).verify(signature.key, _signed(document), signature.signature)
    return None if wrong is None else f"is refused: {wrong}"


def _signed(document: bytes) -> bytes:
    """What is signed: a hash, since a signer takes 4,096 bytes and a manifest may be longer."""
    return SIGNED + hashlib.sha256(document).digest()
