"""What tests run against: a service, trained once a session and started from a copy, and Valkey."""

from __future__ import annotations

import fcntl
import http.client
import itertools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Its plugin imports it when all tests are over; CPython 3.11 may then trip over a finalizer that
# runs while the parser does, and the whole run would end as an error.
import hypothesis  # noqa: F401
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.datastore_binary import datastore_binary
from app.fresh_id import fresh_id
from app.settings import Shard
from regions.world.control import World

# Beside conftest files and tests, these assert, too.
for _folder in ("api", "counters", "exactly_once"):
    pytest.register_assert_rewrite(f"tests.integration.{_folder}.setting")

REGION = "us-east-1"
START_S_MAX = 10.0
# Processes that test beside each other take blocks far apart; a bench goes 4,000 further.
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORT_BLOCKS = itertools.count(10_000 + _PROCESS * 10_000 + secrets.randbelow(10) * 100, 100)


@dataclass(frozen=True)
class Service:
    """A running service."""

    home: Path
    port: int
    operations_port: int
    key: str
    region: str = REGION

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def operations(self) -> str:
        return f"http://127.0.0.1:{self.operations_port}"

    @property
    def published(self) -> Path:
        return self.home / self.region / "published"

    @property
    def world(self) -> World:
        return World.connect(self.home)

    def sample(self, number: int = 0) -> dict[str, Any]:
        """The body of a sample attempt, with an attempt id of its own."""
        samples = json.loads((self.home / "registry" / "samples.json").read_bytes())
        return {**samples[number]["body"], "attempt_id": fresh_id("att")}

    def post(self, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        """Post an attempt; status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(
                "POST",
                "/v1/decisions",
                json.dumps(body),
                {"Content-Type": "application/json", "X-Api-Key": self.key, **headers},
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def stepdown() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line: `stepdown("up", "--json", home=home)`."""
    return run_stepdown


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with everything that a first start makes, never run."""
    from app.bootstrap import ensure_published
    from app.features.reference import REFERENCE

    base = tmp_path_factory.getbasetemp()
    # Where tests run in several processes, whoever comes first trains for all.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained-for-all"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ensure_published(shared, REGION, REFERENCE, lambda _done, _what: None)
    return shutil.copytree(shared, base / "trained", symlinks=True)


def start_service(home: Path) -> Service:
    """Bring the service up from a published home."""
    base = next(base for base in PORT_BLOCKS if _free(base))
    done = run_stepdown("up", "--json", home=home, port_base=base)
    assert done.returncode == 0, done.stderr
    return service_at(home, base)


def service_at(home: Path, base: int) -> Service:
    return Service(
        home=home,
        port=base,
        operations_port=base + 1,
        key=(home / "dev-key").read_text().strip(),
    )


@pytest.fixture(scope="session")
def service_of() -> Callable[[Path, int], Service]:
    """A service that runs already, by its home and its first port."""
    return service_at


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], int]:
    """The first of so many blocks of ports, one after the other, that nobody has."""

    def found(blocks: int) -> int:
        base = next(
            base
            for base in PORT_BLOCKS
            if all(_free(base + 100 * number) for number in range(blocks))
        )
        for _ in range(blocks - 1):
            next(PORT_BLOCKS)
        return base

    return found


def stop_service(home: Path) -> None:
    done = run_stepdown("down", home=home)
    assert done.returncode == 0, done.stderr


def run_stepdown(
    *words: str, home: Path, port_base: int = 18_000, regions: tuple[str, ...] = (REGION,)
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would; one region is enough for most tests."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "stepdown"), *words],
        env={
            **os.environ,
            "STEPDOWN_HOME": str(home),
            "STEPDOWN_PORT_BASE": str(port_base),
            "STEPDOWN_REGIONS": ",".join(regions),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def port_base() -> int:
    """A block of ports that nobody has."""
    return next(base for base in PORT_BLOCKS if _free(base))


@pytest.fixture(scope="session")
def services(
    trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], AbstractContextManager[Service]]:
    """Runs a service from a copy of what was trained, for as long as a block lasts."""

    @contextmanager
    def running() -> Iterator[Service]:
        home = tmp_path_factory.mktemp("service") / "home"
        shutil.copytree(trained, home, ignore=shutil.ignore_patterns("data"))
        yield start_service(home)
        stop_service(home)

    return running


@pytest.fixture(scope="session")
def service(services: Callable[[], AbstractContextManager[Service]]) -> Iterator[Service]:
    """A service that tests share and leave as they found it."""
    with services() as running:
        yield running


@pytest.fixture
def fresh_service(services: Callable[[], AbstractContextManager[Service]]) -> Iterator[Service]:
    """A service of one's own, to break."""
    with services() as running:
        yield running


def _free(base: int) -> bool:
    for port in (base, base + 1, base + 10, base + 13, base + 14, base + 20, base + 40):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


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
