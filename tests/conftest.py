"""A running service for tests that need one: trained once a session, started from a copy."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regions.world.control import World

REGION = "us-east-1"
PORT_BLOCKS = itertools.count(20_000 + secrets.randbelow(60) * 100, 100)


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
        return {**samples[number]["body"], "attempt_id": f"att_{secrets.token_hex(8)}"}

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

    home = tmp_path_factory.mktemp("trained")
    ensure_published(home, REGION, lambda _done, _what: None)
    return home


def start_service(home: Path) -> Service:
    """Bring the service up from a published home."""
    base = next(base for base in PORT_BLOCKS if _free(base))
    done = run_stepdown("up", "--json", home=home, port_base=base)
    assert done.returncode == 0, done.stderr
    return Service(
        home=home,
        port=base,
        operations_port=base + 1,
        key=(home / "dev-key").read_text().strip(),
    )


def stop_service(home: Path) -> None:
    done = run_stepdown("down", home=home)
    assert done.returncode == 0, done.stderr


def run_stepdown(
    *words: str, home: Path, port_base: int = 18_000
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "stepdown"), *words],
        env={**os.environ, "STEPDOWN_HOME": str(home), "STEPDOWN_PORT_BASE": str(port_base)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="session")
def service(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that tests share and leave as they found it."""
    home = tmp_path_factory.mktemp("service") / "home"
    shutil.copytree(trained, home)
    yield start_service(home)
    stop_service(home)


@pytest.fixture
def fresh_service(trained: Path, tmp_path: Path) -> Iterator[Service]:
    """A service of one's own, to break."""
    home = tmp_path / "home"
    shutil.copytree(trained, home)
    yield start_service(home)
    stop_service(home)


def _free(base: int) -> bool:
    for port in (base, base + 1, base + 10):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
