"""Shipper and applier as processes: outages cost freshness, never an event.

With `STEPDOWN_OUTAGE_S=60` the outage lasts that long, and its figures are printed (`pytest -s`).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request

import msgspec
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.features.applier import APPLIED_KEY, Applied
from app.features.online import OnlineStore, Source
from app.features.packed import key, layouts_of
from app.features.reference import REFERENCE
from app.features.shard import ShardClient
from app.features.spec import Entity
from app.record.frames import Kind, segments_of
from app.record.journal import open_journal
from app.record.signing import FileSigner
from app.streams.heartbeat import WRITER
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.errors import FeaturesStale

OUTAGE_S = float(os.environ.get("STEPDOWN_OUTAGE_S", "3"))
RATE = 300  # events a second
TENANT, CARD = "acme", "card_1"
REGION = "us-east-1"
STOP_S_MAX = 3.0
DRAIN_S_MAX = 30.0
AGE_MAX_MS = 1_500


def now_ms():
    return time.time_ns() // 1_000_000


def wait_until(true, timeout_s=DRAIN_S_MAX):
    start_s = time.monotonic()
    while not true():
        assert time.monotonic() - start_s < timeout_s
        time.sleep(0.02)
    return time.monotonic() - start_s


class Host:
    """One region on one host: a journal, real servers, and the processes between them."""

    def __init__(self, home, store, stream):
        self.home, self.store, self.stream = home, store, stream
        self.amounts = []
        self.append_ms_max = 0.0
        self.processes = {}
        self.open_journal()

    @property
    def folder(self):
        return self.home / REGION

    @property
    def storage(self):
        return self.folder / "object-storage"

    def open_journal(self):
        self.journal = open_journal(
            self.folder / "journal",
            region=0,
            signer=FileSigner(Ed25519PrivateKey.generate()),
            fsync_ms=10,
            segment_bytes=64 * 2**10,
        )

    def start(self, module):
        with (self.home / f"{module}.log").open("ab") as log:
            self.processes[module] = subprocess.Popen(
                [sys.executable, "-m", module],
                env={
                    **os.environ,
                    "STEPDOWN_HOME": str(self.home),
                    "STEPDOWN_STORE": f"127.0.0.1:{self.store.port}",
                    "STEPDOWN_STREAM": f"127.0.0.1:{self.stream.port}",
                },
                stdout=log,
                stderr=log,
            )

    def start_shipper(self):
        self.start("app.record.shipper")

    def start_applier(self):
        self.start("app.features.applier_process")

    def stop(self, module, number=signal.SIGTERM):
        process = self.processes.pop(module)
        start_s = time.monotonic()
        process.send_signal(number)
        process.wait(10)
        return time.monotonic() - start_s

    def log(self, module):
        return (self.home / f"{module}.log").read_text()

    def append(self, count):
        for _ in range(count):
            amount = 1 + len(self.amounts) % 997
            payload = msgspec.msgpack.encode(
                {
                    "tenant": TENANT,
                    "received_ms": now_ms(),
                    "amount_ref": amount,
                    "entities": {"card": CARD},
                    "bits": {},
                    "action": "approve",
                }
            )
            start_s = time.perf_counter()
            self.journal.append(Kind.DECISION, payload)
            self.append_ms_max = max(self.append_ms_max, (time.perf_counter() - start_s) * 1_000)
            self.amounts.append(amount)

    def append_for(self, seconds, rate=RATE):
        start_s, start = time.monotonic(), len(self.amounts)
        while (passed_s := time.monotonic() - start_s) < seconds:
            self.append(int(passed_s * rate) - (len(self.amounts) - start))
            time.sleep(0.01)

    def applied(self):
        raw = self.store.client.get(APPLIED_KEY)
        return None if raw is None else msgspec.msgpack.decode(raw, type=Applied)

    def age_ms(self):
        applied = self.applied()
        return now_ms() - applied.as_of_ms if applied else now_ms()

    def counted(self):
        raw = self.store.client.get(key(TENANT, Entity.CARD, CARD))
        if raw is None:
            return 0, 0
        layout = layouts_of(REFERENCE)[Entity.CARD].layout
        totals = layout.windows(layout.decode([raw]), np.array([now_ms()])).totals[0]
        names = [counter.name for counter in layout.additive]
        return tuple(
            int(totals[names.index(f"card_{name}_24h")]) for name in ("attempted", "amount")
        )

    def is_counted(self):
        return self.counted() == (len(self.amounts), sum(self.amounts))

    def unmarked(self):
        closed = segments_of(self.folder / "journal" / "00000")[:-1]
        return [p for p in closed if not p.with_name(p.name + ".shipped").exists()]

    def close(self):
        for module in tuple(self.processes):
            self.stop(module, signal.SIGKILL)
        self.journal.close()


@pytest.fixture
def host(tmp_path, valkeys):
    home = tmp_path / "home"
    home.mkdir()
    host = Host(home, valkeys(), valkeys())
    yield host
    host.close()


@pytest.fixture
def running(host):
    host.start_shipper()
    host.start_applier()
    wait_until(lambda: host.age_ms() < 1_000)
    return host


def test_an_outage_of_stream_and_object_storage_loses_nothing_and_counts_nothing_twice(running):
    running.append_for(1)
    running.stream.kill()
    aside = running.storage.with_name("aside")
    if running.storage.exists():
        running.storage.rename(aside)
    running.storage.write_bytes(b"not a folder")
    running.append_for(OUTAGE_S)
    assert running.age_ms() > 1_000 * (OUTAGE_S - 1)
    missing = len(running.amounts) - running.counted()[0]
    running.storage.unlink()
    if aside.exists():
        aside.rename(running.storage)
    running.stream.start()
    running.append_for(1)
    drained_s = wait_until(running.is_counted)
    archived_s = wait_until(lambda: not running.unmarked())
    wait_until(lambda: running.age_ms() < 1_000)
    kept = list((running.storage / REGION / "00000").iterdir())
    assert {path.name for path in kept} >= {
        path.name for path in segments_of(running.folder / "journal" / "00000")[:-1]
    }
    print(  # noqa: T201 - the figures of a longer run
        f"outage {OUTAGE_S:.0f} s at {RATE} events/s: backlog {missing} events, drained"
        f" {1 + drained_s:.1f} s and archived {1 + drained_s + archived_s:.1f} s after the return;"
        f" {len(running.amounts)} appended, counted {running.counted()[0]};"
        f" {len(kept)} segments; slowest append {running.append_ms_max:.1f} ms"
    )


def test_processes_that_die_again_and_again_lose_nothing_and_count_nothing_twice(running):
    for number in range(6):
        module = ("app.record.shipper", "app.features.applier_process")[number % 2]
        running.append_for(0.3)
        running.stop(module, signal.SIGKILL)
        running.append(20)
        running.start(module)
    wait_until(running.is_counted)


def test_a_stream_server_that_lost_everything_is_filled_again(running):
    running.append_for(0.5)
    wait_until(running.is_counted)
    running.stream.client.flushall()
    running.append_for(0.5)
    wait_until(running.is_counted)
    wait_until(lambda: running.age_ms() < 1_000)


def test_a_hole_in_the_stream_is_gone_over_by_the_journals(running):
    running.append(10)
    wait_until(running.is_counted)
    running.stop("app.features.applier_process")
    running.append_for(0.5)
    client = running.stream.client
    last = f"1-{running.journal._seq}".encode()
    wait_until(lambda: client.hget(f"{REGION}:tails", "0/0") == last)
    client.xtrim(f"{REGION}:0/0", maxlen=1, approximate=False)
    running.append(10)
    running.start_applier()
    wait_until(running.is_counted)
    wait_until(lambda: running.age_ms() < 1_000)
    assert "going over it from the journals" in running.log("app.features.applier_process")


def test_a_stream_server_whose_memory_is_full_goes_on(running):
    client = running.stream.client
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + 300_000)
    running.append_for(4, rate=2_000)
    wait_until(running.is_counted)
    assert "the older half of each writer's runs is gone" in running.log("app.record.shipper")


def test_without_a_shipper_the_counters_age_until_they_are_refused(running):
    running.append(50)
    wait_until(running.is_counted)
    asyncio.run(read_as_a_scorer_does(running))
    running.stop("app.record.shipper", signal.SIGKILL)
    running.append(1)
    time.sleep(AGE_MAX_MS / 1_000 + 1)
    with pytest.raises(FeaturesStale):
        asyncio.run(read_as_a_scorer_does(running))
    assert running.counted()[0] == 50
    running.start_shipper()
    wait_until(running.is_counted)
    wait_until(lambda: running.age_ms() < 1_000)
    asyncio.run(read_as_a_scorer_does(running))


async def read_as_a_scorer_does(host):
    clock = SystemClock()
    shard = ShardClient(host.store.shard, password=None, timeout_ms=500, region=REGION)
    policy = BreakerPolicy(slow_call_ms=400.0)
    breaker = Breaker(REGION, policy, clock=clock, rng=random.Random(1))
    store = OnlineStore(
        [Source(REGION, [shard], breakers=[breaker])],
        features=REFERENCE,
        now_ms=now_ms,
        age_max_ms=AGE_MAX_MS,
    )
    deadline = Deadline.after(budget_ms=2_000, clock=clock)
    try:
        await store.read(TENANT, {Entity.CARD: CARD}, deadline, amount=1.0)
    finally:
        await store.close()


def test_a_shipper_stops_in_time_and_goes_on_from_where_it_was(running):
    running.append_for(0.5)
    assert running.stop("app.record.shipper") < STOP_S_MAX
    checkpoint = json.loads((running.folder / "shipper" / "checkpoint.json").read_bytes())
    assert set(checkpoint["published"]) == {"0/0", f"0/{WRITER}"}
    running.append(30)
    running.start_shipper()
    wait_until(running.is_counted)


def test_a_shipper_stops_in_time_while_everything_is_away(host):
    host.storage.parent.mkdir(parents=True, exist_ok=True)
    host.storage.write_bytes(b"not a folder")
    host.start_shipper()
    host.append_for(0.5)
    wait_until((host.folder / "shipper" / "checkpoint.json").exists)
    os.kill(host.stream._process.pid, signal.SIGSTOP)
    try:
        host.append_for(1.5)
        assert host.stop("app.record.shipper") < STOP_S_MAX
    finally:
        os.kill(host.stream._process.pid, signal.SIGCONT)


# The whole service.


def readyz(service):
    with urllib.request.urlopen(f"{service.operations}/readyz", timeout=2) as reply:
        return json.loads(reply.read())


def age_s(service):
    return readyz(service)["ages"].get(f"counters:{REGION}", float("inf"))


def metric(service, name):
    with urllib.request.urlopen(f"{service.operations}/metrics", timeout=2) as reply:
        lines = reply.read().decode().splitlines()
    return next((float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith(f"{name} ")), None)


def test_a_service_without_its_shipper_answers_and_shows_its_counters_age(fresh_service):
    world = fresh_service.world
    wait_until(lambda: age_s(fresh_service) < 1.5)
    wait_until(lambda: metric(fresh_service, "stepdown_shipper_backlog_seconds") is not None)
    world.hold(f"{REGION}/shipper")
    for _ in range(10):
        status, _ = fresh_service.post(fresh_service.sample())
        assert status == 200
    wait_until(lambda: age_s(fresh_service) > 3)
    world.release(f"{REGION}/shipper")
    wait_until(lambda: age_s(fresh_service) < 1.5)
    wait_until(lambda: metric(fresh_service, "stepdown_shipper_backlog_events") == 0)
    assert metric(fresh_service, "stepdown_shipper_events_total") >= 10
