"""Datastores over TLS: both clients verify whom they talk to, and say so when they cannot."""

from __future__ import annotations

import asyncio
import ssl

import pytest
import redis

from app.features.shard import ShardClient
from app.own_certificate import own_certificate
from app.settings import Shard, load
from app.streams.connection import connect
from fallback.errors import DependencyUnavailable


@pytest.fixture
def certificate(tmp_path):
    """A certificate of `localhost` that vouches for itself, and its key, in one file."""
    path = tmp_path / "localhost.pem"
    path.write_bytes(b"".join(part.read_bytes() for part in own_certificate(tmp_path)))
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
