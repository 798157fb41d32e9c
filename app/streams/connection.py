"""Clients of the region's servers for background use."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.settings import Shard

__all__ = ["connect"]


def connect(
    shard: Shard, password: str | None, *, name: str = "stepdown-applier", timeout_s: float = 2.0
) -> redis.Redis:
    """A client for background use: bounded waits, no hidden retries.

    Args:
        shard: address of the server.
        password: of it, if it has one.
        name: of the client, as the server lists it.
        timeout_s: longest wait for an answer.
    """
    return redis.Redis(
        host=shard.host,
        port=shard.port,
        password=password,
        ssl=shard.tls,  # certificate and host name are verified, as is the driver's default
        protocol=2,
        socket_timeout=timeout_s,
        socket_connect_timeout=1.0,
        retry=Retry(NoBackoff(), 0),
        client_name=name,
    )
