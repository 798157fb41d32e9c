"""What it costs to count a decision: CPU of the applier and of the datastore, traffic, memory.

The appliers and the datastores are real, each datastore with a replica, as it would have; the
stream is a list of encoded records in memory, so that nothing else is timed.
"""

from __future__ import annotations

import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from app.datastore_binary import datastore_binary
from app.features.applier import Applier
from app.features.applier_process import Shards
from app.features.feed import BATCH_EVENTS_MAX, Feed
from app.features.packed import distinct_bit
from app.features.spec import Entity, FeatureSet
from app.ids import EventId
from app.record.decision import DecisionRecord, encode
from app.record.frames import Kind, Record
from app.settings import Shard
from app.streams.connection import connect
from app.streams.interface import Positions

__all__ = ["WriteSide", "measure_write_side"]

TENANT = "bench"
HOST = "127.0.0.1"
START_S_MAX = 10.0
WARM_UP = 0.25
WRITERS = 4
REQUEST_BYTES = 700
# How many of each entity there are for each 1,000 decisions.
IDS_PER_1000 = {
    Entity.CARD: 400,
    Entity.CUSTOMER: 350,
    Entity.MERCHANT: 20,
    Entity.DEVICE: 400,
    Entity.IP: 300,
    Entity.EMAIL: 350,
    Entity.BIN: 20,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSide:
    """Cost of the write side for one feature set and number of shards.

    Attributes:
        name: "reference/1" and such.
        features: name of the feature set.
        shards: of the store.
        batch: events a batch.
        decisions: measured.
        decisions_per_core_second: by one applier process that has a core to itself.
        applier_us: CPU of the applier, a decision.
        datastore_us: CPU of all shards' primaries together, a decision.
        changes_per_decision: values that a decision changes.
        replicated_bytes: what one replica of every shard is sent, a decision.
        bytes_per_entity_mean: length of the values stored, keys not included.
        bytes_per_entity_max: the longest of them.
    """

    name: str
    features: str
    shards: int
    batch: int
    decisions: int
    decisions_per_core_second: float
    applier_us: float
    datastore_us: float
    changes_per_decision: float
    replicated_bytes: float
    bytes_per_entity_mean: float
    bytes_per_entity_max: int


def measure_write_side(
    features: FeatureSet,
    *,
    shards: int = 1,
    decisions: int = 20_000,
    batch: int = BATCH_EVENTS_MAX,
    seed: int = 1,
) -> WriteSide:
    """Apply decisions of seven entities to stores of their own, and say what it cost.

    Args:
        features: what is counted.
        shards: of the store.
        decisions: to measure; a quarter more is applied before.
        batch: events a batch, at most `BATCH_EVENTS_MAX`.
        seed: of the decisions.
    """
    warm_up = int(decisions * WARM_UP)
    records = _decisions(warm_up + decisions, random.Random(seed))
    stream = _Listed(records, batch)
    with _servers(shards) as primaries:
        clients = [connect(primary, None) for primary in primaries]
        applier = _applier(features, stream, primaries)
        while stream.at < warm_up:
            applier.step()
        measured, before, start_s = stream.at, _used(clients), time.process_time()
        while stream.at < len(records):
            applier.step()
        applier_s, after = time.process_time() - start_s, _used(clients)
        measured = len(records) - measured
        sizes = [
            client.strlen(name)
            for client in clients
            for name in client.scan_iter(f"{TENANT}:*", count=1_000)
        ]
    return WriteSide(
        name=f"{features.name}/{shards}",
        features=features.name,
        shards=shards,
        batch=batch,
        decisions=measured,
        decisions_per_core_second=measured / applier_s,
        applier_us=applier_s / measured * 1e6,
        datastore_us=(after.cpu_s - before.cpu_s) / measured * 1e6,
        changes_per_decision=_changes(features, records),
        replicated_bytes=(after.replicated_bytes - before.replicated_bytes) / measured,
        bytes_per_entity_mean=sum(sizes) / len(sizes),
        bytes_per_entity_max=max(sizes),
    )


class _Listed:
    """A stream that is a list. Implements `EventStream`."""

    def __init__(self, records: Sequence[Record], batch: int) -> None:
        self.at = 0
        self._records = records
        self._batch = batch

    def rewind(self, positions: Positions) -> None:
        """Start; the stores are empty."""
        assert not positions
        self.at = 0

    def read(self, limit: int) -> list[Record]:
        """The next records."""
        found = list(self._records[self.at : self.at + min(limit, self._batch)])
        self.at += len(found)
        return found


def _applier(features: FeatureSet, stream: _Listed, primaries: Sequence[Shard]) -> Shards:
    """The applier of all shards, as its process makes it."""
    shards = len(primaries)

    def one(number: int, primary: Shard) -> Applier:
        return Applier(
            lambda: connect(primary, None),
            stream,
            features=features,
            now_ms=_now_ms,
            shard=number,
            shards=shards,
        )

    feed = Feed(stream, features=features, shards=shards, now_ms=_now_ms)
    return Shards(feed, [one(*numbered) for numbered in enumerate(primaries)])


def _changes(features: FeatureSet, records: Sequence[Record]) -> float:
    """Values that a decision changes."""
    feed = Feed(_Listed(records, BATCH_EVENTS_MAX), features=features, shards=1, now_ms=_now_ms)
    batch = feed.next()
    return sum(len(touched.event) for touched in batch.touched.values()) / len(batch.records)


def _decisions(count: int, rng: random.Random) -> list[Record]:
    """Decisions of the last seconds, as the journals of several writers have them."""
    start_ms = _now_ms() - count
    return [
        Record(
            EventId(0, number % WRITERS, 1, number // WRITERS + 1),
            Kind.DECISION,
            start_ms + number,
            _payload(start_ms + number, count, rng),
            b"",
            0,
        )
        for number in range(count)
    ]


def _payload(received_ms: int, count: int, rng: random.Random) -> bytes:
    ids = {
        entity.value: f"{entity}_{rng.randrange(max(count * per // 1_000, 1)):016x}"
        for entity, per in IDS_PER_1000.items()
    }
    return encode(
        DecisionRecord(
            tenant=TENANT,
            decision_id=f"dec_{rng.getrandbits(128):032x}",
            attempt_id=f"att_{rng.getrandbits(64):016x}",
            received_ms=received_ms,
            as_of_ms=received_ms,
            request=rng.randbytes(REQUEST_BYTES),
            amount_ref=rng.randrange(100, 50_000),
            entities=ids,
            bits={
                entity: distinct_bit(ids[entity])
                for entity in (Entity.DEVICE, Entity.CARD, Entity.CUSTOMER)
            },
            merchant={"category": "5732", "country": "US"},
            large=rng.random() < 0.05,
            action=rng.choices(("approve", "step_up", "decline"), (92, 5, 3))[0],
            ranking=rng.random(),
            rung="full",
            not_higher={},
            reasons=["VELOCITY_CARD", "MERCHANT_HOT"],
            versions={"policy": "1", "features": "2"},
            numbers=rng.randbytes(4 * 40),
            categories=[b"present"] * 16,
            positions={"us-east-1/0": {f"0/{writer}": (1, 1) for writer in range(WRITERS)}},
            deadline_ms=80,
            took_ms=4.2,
        )
    )


@dataclass(frozen=True, slots=True)
class _Used:
    """What the primaries have used since they started."""

    cpu_s: float
    replicated_bytes: int


def _used(primaries: Sequence[redis.Redis]) -> _Used:
    told = [primary.info("all") for primary in primaries]
    return _Used(
        sum(one["used_cpu_user"] + one["used_cpu_sys"] for one in told),
        sum(one["master_repl_offset"] for one in told),
    )


@contextmanager
def _servers(shards: int) -> Iterator[list[Shard]]:
    """Primaries, each with a replica, for as long as the block lasts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepdown-")))
        primaries = [_server(stack, folder / str(shard)) for shard in range(shards)]
        for shard, primary in enumerate(primaries):
            replica = _server(
                stack, folder / f"{shard}-replica", "--replicaof", HOST, str(primary.port)
            )
            _wait(replica, "master_link_status", "up")
        yield primaries


def _server(stack: ExitStack, folder: Path, *settings: str) -> Shard:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        address = Shard(HOST, probe.getsockname()[1])
    process = subprocess.Popen(  # noqa: S603 - our own server
        [
            datastore_binary(),
            *("--port", str(address.port), "--bind", HOST, "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--repl-diskless-sync-delay", "0"),
            *settings,
        ],
        stdout=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    _wait(address, "loading", 0)
    return address


def _wait(address: Shard, what: str, wanted: object) -> None:
    """Wait until a server says so.

    Raises:
        TimeoutError: it does not in time.
    """
    client = connect(address, None)
    give_up_s = time.monotonic() + START_S_MAX
    while time.monotonic() < give_up_s:
        try:
            if client.info("all")[what] == wanted:
                return
        except redis.RedisError:
            pass  # not up yet
        time.sleep(0.02)
    raise TimeoutError(f"the server at port {address.port} does not say {what}={wanted}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
