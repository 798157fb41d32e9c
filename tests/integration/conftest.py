"""A real datastore: the Valkey server that the embedded world runs, one per test, on loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.settings import Shard
from regions.world.embedded import datastore_binary

START_S_MAX = 10.0


class Valkey:
    """One server with an append-only file, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.shard = Shard("127.0.0.1", self.port)
        self.client = redis.Redis(
            host=self.shard.host,
            port=self.port,
            protocol=2,
            socket_timeout=2.0,
            retry=Retry(NoBackoff(), 0),
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    datastore_binary(),
                    *("--port", str(self.port), "--bind", self.shard.host),
                    *("--dir", str(self.folder), "--save", ""),
                    *("--appendonly", "yes", "--appendfsync", "everysec"),
                ],
                stdout=log,
                stderr=log,
            )
        give_up_s = time.monotonic() + START_S_MAX
        while True:
            try:
                self.client.ping()
            except redis.RedisError:
                assert time.monotonic() < give_up_s, (self.folder / "valkey.log").read_text()
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """As kill -9 does it: nothing is flushed, connections are reset."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.client.close()
        self.kill()


@pytest.fixture
def valkeys(tmp_path: Path) -> Iterator[Callable[[], Valkey]]:
    """Starts as many servers as a test asks for."""
    servers: list[Valkey] = []

    def start() -> Valkey:
        folder = tmp_path / f"valkey-{len(servers)}"
        folder.mkdir()
        servers.append(Valkey(folder))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def valkey(valkeys: Callable[[], Valkey]) -> Valkey:
    """One running server, empty."""
    return valkeys()
