"""Replication between the regions, as the servers tell it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from regions.world.control import WorldStatus
from regions.world.home import Home
from regions.world.overview import Replica
from regions.world.plan import Link

__all__ = ["replicas_of"]

_TIMEOUT_S = 1.0


def replicas_of(home: Home, status: WorldStatus, links: tuple[Link, ...]) -> tuple[Replica, ...]:
    """How each copy stands."""
    return tuple(_replicas(home, status, links))


def _replicas(home: Home, status: WorldStatus, links: tuple[Link, ...]) -> Iterator[Replica]:
    for link in links:
        if link.carries != "replication":
            continue
        shard = link.name.rpartition(":")[2]
        part = "" if shard == "0" else f"-{shard}"
        name = f"{link.near}/replica-{link.far}{part}"
        own = _replication(home.datastore_password, status.port(name))
        primary = _replication(home.datastore_password, status.port(f"{link.far}/datastore{part}"))
        written, read = primary.get("master_repl_offset"), own.get("slave_repl_offset")
        yield Replica(
            name=name,
            reader=link.near,
            source=link.far,
            link=own.get("master_link_status"),
            behind_bytes=None if written is None or read is None else max(written - read, 0),
        )


def _replication(password_file: Path, port: int | None) -> dict[str, Any]:
    """What a server says of its replication; nothing while it does not answer."""
    if port is None:
        return {}
    client = redis.Redis(
        port=port,
        password=password_file.read_text("utf-8").strip(),
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    try:
        return dict(client.info("replication"))
    except redis.RedisError:
        return {}
    finally:
        client.close()
