"""A signing key in AWS KMS, behind the same interface as one in a file.

It endorses host keys (see `app.record.signing`): called at start or by hand, from a background
process, never from one that decides.
"""

from __future__ import annotations

from typing import Any, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from app.record.signing import PublicKey

__all__ = ["KmsClient", "KmsSigner"]


class KmsClient(Protocol):
    """What is used of boto3's client.

    Made with `Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard"})`: its own
    defaults wait for a minute.
    """

    def get_public_key(self, *, KeyId: str) -> dict[str, Any]:  # noqa: N803 - AWS names it so
        """The public half, DER."""
        ...

    def sign(
        self,
        *,
        KeyId: str,  # noqa: N803
        Message: bytes,  # noqa: N803
        MessageType: str,  # noqa: N803
        SigningAlgorithm: str,  # noqa: N803
    ) -> dict[str, Any]:
        """Sign a message of at most 4,096 bytes."""
        ...


class KmsSigner:
    """An asymmetric key in KMS: Ed25519 (ECC_NIST_EDWARDS25519) or P-256. Implements `Signer`."""

    def __init__(self, client: KmsClient, key: str) -> None:
        """Look the key up.

        Args:
            client: boto3's KMS client.
            key: id, ARN or alias of the key.

        Raises:
            ValueError: the key is of a kind that does not sign here.
        """
        self._client, self._key = client, key
        der = client.get_public_key(KeyId=key)["PublicKey"]
        public_key = serialization.load_der_public_key(der)
        self.public_key: PublicKey
        if isinstance(public_key, ed25519.Ed25519PublicKey):
            self.public_key, self._algorithm = public_key, "ED25519_SHA_512"
        elif isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.key_size == 256:
            self.public_key, self._algorithm = public_key, "ECDSA_SHA_256"
        else:
            raise ValueError(f"the key {key} is neither Ed25519 nor P-256")

    def sign(self, message: bytes) -> bytes:
        """Sign a message in KMS; milliseconds, and fails as the network does."""
        signed = self._client.sign(
            KeyId=self._key,
            Message=message,
            MessageType="RAW",
            SigningAlgorithm=self._algorithm,
        )
        signature: bytes = signed["Signature"]
        return signature
