"""A certificate that a host makes for itself, so that its balancer can encrypt on the way to it.

A balancer of AWS verifies no certificate of what stands behind it, so that nobody has to sign this
one, and it is made anew with each start. It keeps out who listens, not who pretends to be a host:
that is what the hosts' security group is for.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

__all__ = ["own_certificate"]

# A process lives for weeks; the balancer does not look at it.
VALID = timedelta(days=825)
CLOCK_OFF = timedelta(hours=1)


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate and its key.

    Args:
        folder: where they are put, readable by this user alone.

    Returns:
        The files of certificate and key, PEM.

    Raises:
        OSError: they cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stepdown scorer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_OFF)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return (
        _written(folder / "certificate.pem", certificate.public_bytes(Encoding.PEM)),
        _written(folder / "key.pem", private),
    )


def _written(path: Path, data: bytes) -> Path:
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return fresh.replace(path)
