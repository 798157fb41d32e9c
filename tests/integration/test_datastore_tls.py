"""Datastores over TLS: both clients verify whom they talk to, and say so when they cannot."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.features.shard import ShardClient
from app.settings import Shard, load
from app.streams.connection import connect
from fallback.errors import DependencyUnavailable


@pytest.fixture
def certificate(tmp_path):
    """A certificate of `localhost` that vouches for itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
async def port(certificate):
    """A server that answers +OK to every command, over TLS."""

    async def serve(reader, writer):
        while data := await reader.read(65_536):
            writer.write(b"+OK\r\n" * data.count(b"*"))
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def asked(shard):
    client = ShardClient(shard, password="secret", timeout_ms=2_000, region="here")
    try:
        return await client.submit("GET", "x")
    finally:
        await client.close()


async def test_a_scorer_reads_over_tls(port, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert await asked(Shard("localhost", port, tls=True)) == b"OK"


async def test_a_scorer_trusts_no_unknown_server(port):
    with pytest.raises(DependencyUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await asked(Shard("localhost", port, tls=True))


async def test_a_scorer_trusts_no_server_of_another_name(port, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(DependencyUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await asked(Shard("127.0.0.1", port, tls=True))


async def test_background_clients_verify_too(port, certificate, monkeypatch):
    client = connect(Shard("localhost", port, tls=True), "secret")
    with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await asyncio.to_thread(client.set, "x", "y")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = connect(Shard("localhost", port, tls=True), "secret")
    assert await asyncio.to_thread(client.set, "x", "y")
    client.close()


def test_the_setting_reaches_every_datastore():
    settings = load({"STEPDOWN_DATASTORE_TLS": "true", "STEPDOWN_STORE": "a:1|b:2"})
    assert settings.store_shards() == (Shard("a", 1, tls=True), Shard("b", 2, tls=True))
    assert all(shard.tls for one in settings.source_addresses() for shard in one.shards)
    assert not load({}).store_shards()[0].tls
