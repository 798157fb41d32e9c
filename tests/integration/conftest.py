"""Regions that are not quite regions: they sign as one does, and lie, hang and refuse on request."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from app.api.reading import read_attempt
from app.ids import DecisionIds
from app.money import DEFAULT_RATES, load_rates
from app.policy import DEFAULT_POLICY, load_policy
from app.record.signing import FileSigner, Keyring, ensure_signing_key
from app.record.token import Claims, TokenSigner, body_hash
from app.routing import RoutingSource
from app.weights import Weights

NUMBERS = itertools.count()


class FakeRegion:
    """One region: answers `approve`, as `behaviour` says."""

    def __init__(self, name: str, signer: FileSigner) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.name = name
        self.behaviour = "good"
        self.away_s = 0.0
        self.delay_s: Callable[[], float] = lambda: 0.0
        self.weights: Weights | None = None
        self.seen: Counter[str] = Counter()
        self.retries: list[str | None] = []
        self.outcomes: list[dict[str, str]] = []
        self.outcomes_lost = 0
        self.stand_ins: dict[str, dict[str, object]] = {}
        self.tokens = TokenSigner(b"s" * 32)
        self._ids = DecisionIds(region=next(NUMBERS) % 200, writer=1)
        self._routing = signer
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/decisions", self._decide)
        app.router.add_post("/v1/outcomes", self._outcome)
        app.router.add_post("/v1/stand-ins", self._stand_in)
        app.router.add_get("/v1/routing", self._route)
        app.router.add_get("/livez", self._livez)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()

    async def stop(self) -> None:
        """Refuses connections from here on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _behave(self) -> web.Response | None:
        await asyncio.sleep(self.away_s)
        if self.behaviour == "hang":
            await asyncio.sleep(30)
        if self.behaviour.isdigit():
            return web.json_response({"detail": "on request"}, status=int(self.behaviour))
        if self.behaviour == "nonsense":
            return web.Response(text="<html>a captive portal</html>")
        return None

    async def _decide(self, request: web.Request) -> web.Response:
        body = await request.read()
        attempt, canonical = read_attempt(body)
        self.seen[attempt.attempt_id] += 1
        self.retries.append(request.headers.get("X-Attempt-Retry"))
        if (other := await self._behave()) is not None:
            return other
        await asyncio.sleep(self.delay_s())
        decision_id = self._ids.new()
        signer = TokenSigner(b"x" * 32) if self.behaviour == "forge" else self.tokens
        said = "another" if self.behaviour == "other attempt" else attempt.attempt_id
        claims = Claims(decision_id, said, body_hash(canonical), "approve", int(time.time()) + 60)
        return web.json_response(
            {
                "decision_id": decision_id,
                "attempt_id": said,
                "action": "approve",
                "rung": "full",
                "region": self.name,
                "took_ms": 1.0,
                "token": signer.sign(claims, tenant="acme"),
            }
        )

    async def _outcome(self, request: web.Request) -> web.Response:
        if (other := await self._behave()) is not None:
            return other
        self.outcomes.append(await request.json())
        if self.outcomes_lost:
            self.outcomes_lost -= 1
            return web.json_response({"detail": "taken, and not said"}, status=503)
        return web.json_response({}, status=202)

    async def _stand_in(self, request: web.Request) -> web.Response:
        if (other := await self._behave()) is not None:
            return other
        said = await request.json()
        self.stand_ins[said["attempt"]["attempt_id"]] = said
        return web.json_response({}, status=202)

    async def _route(self, _: web.Request) -> web.Response:
        if (other := await self._behave()) is not None:
            return other
        source = RoutingSource(
            endpoints={self.name: self.url},
            weights=lambda: self.weights,
            policy=lambda: load_policy(DEFAULT_POLICY),
            rates=lambda: load_rates(DEFAULT_RATES),
            directory=lambda: None,
            answer_key=self.tokens.answer_key,
            signer=self._routing,
            now_ms=lambda: time.time_ns() // 1_000_000,
        )
        return web.json_response(text=msgspec.json.encode(source.signed("acme", [])).decode())

    async def _livez(self, _: web.Request) -> web.Response:
        return await self._behave() or web.json_response({"status": "alive"})


@pytest.fixture
def client_keys(tmp_path: Path) -> Path:
    """The folder of keys that a client trusts."""
    return tmp_path / "trusted"


def three_regions(tmp_path: Path, client_keys: Path) -> list[FakeRegion]:
    signer = ensure_signing_key(tmp_path / "routing-key")
    Keyring(client_keys).add(signer.public_key)
    return [FakeRegion(name, signer) for name in ("one", "two", "three")]


@pytest.fixture
async def regions(tmp_path: Path, client_keys: Path) -> AsyncIterator[list[FakeRegion]]:
    """Three regions that are up."""
    made = three_regions(tmp_path, client_keys)
    for region in made:
        await region.start()
    yield made
    for region in made:
        await region.stop()


@pytest.fixture
def regions_of_a_thread(tmp_path: Path, client_keys: Path) -> Iterator[list[FakeRegion]]:
    """The same on a loop of their own, for callers that block."""
    made = three_regions(tmp_path, client_keys)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    for region in made:
        asyncio.run_coroutine_threadsafe(region.start(), loop).result()
    yield made
    for region in made:
        asyncio.run_coroutine_threadsafe(region.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def gunicorn(
    tmp_path: Path, free_ports: Callable[[int], int]
) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path, int]]]:
    """The scorers' gunicorn as it is configured, before `slow_app`: its process, home and port."""
    running: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> tuple[subprocess.Popen[bytes], Path, int]:
        port = free_ports(1)
        own = {"HOME": str(tmp_path), "REGION": "us-east-1", "API_PORT": str(port)}
        command = [sys.executable, "-m", "gunicorn", "-c", "python:app.gunicorn_conf"]
        process = subprocess.Popen(
            [*command, "tests.integration.slow_app:app"],
            env={**os.environ, **{f"STEPDOWN_{name}": it for name, it in own.items()}, **settings},
        )
        running.append(process)
        return process, tmp_path, port

    yield start
    for process in running:
        process.terminate()
        process.wait(10)
