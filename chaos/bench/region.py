"""A region of its own to measure: brought up, pinned to cores, warmed, taken down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import redis

from app.bootstrap import ensure_published
from app.features.sets import feature_set
from app.models.training.history import load_history
from app.registry import Registry
from chaos.bench.cpu import Cores, tree
from chaos.bench.generator import PLACEHOLDER, Job, Phase, Sent
from regions.topology import load_topology
from regions.world.control import World
from regions.world.embedded import embedded_plan
from regions.world.home import Home
from regions.world.lifecycle import bring_down, check_ports, claim, wait_until_ready
from regions.world.plan import Plan
from regions.world.settings import WorldSettings

__all__ = ["PORT_OFFSET", "BenchRegion", "Shape", "bench_region", "furnish", "send"]

READY_S = 120.0
BODIES = 4_000
WARM_UP = Phase(seconds=6.0)
# Away from the service that may run here.
PORT_OFFSET = 4_000
OWN = ("secrets", "trusted-keys", "keys.json", "dev-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is brought up.

    Attributes:
        features: feature set.
        sources: stores that a decision reads, 1 to 3; all but the first are replicas of it.
        shards: of each store.
        workers: scorer processes.
        environment: settings of the region's processes, above those of any region.
    """

    features: Literal["reference", "wide"] = "reference"
    sources: int = 1
    shards: int = 1
    workers: int = 1
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRegion:
    """A region that runs.

    Attributes:
        world: its processes.
        name: of the region.
        host: of its API.
        port: of its API.
        requests: whole HTTP requests to send.
        cores: what runs where.
    """

    world: World
    name: str
    host: str
    port: int
    requests: list[bytes]
    cores: Cores

    def pid(self, part: str) -> int:
        """Of a process: "scorer", "applier" and such."""
        pid = self.world.process(f"{self.name}/{part}").pid
        assert pid is not None
        return pid

    def datastores(self) -> list[int]:
        """Processes of every store and shard."""
        return [
            one.pid
            for one in self.world.status().processes
            if "/datastore" in one.name and one.pid is not None
        ]

    def send(self, *phases: Phase, connections: int = 32, seed: int = 7) -> Sent:
        """Send attempts, from a process on the cores of the generator."""
        job = Job(
            host=self.host,
            port=self.port,
            requests=self.requests,
            phases=list(phases),
            connections=connections,
            seed=seed,
        )
        return send(job, self.cores)


def send(job: Job, cores: Cores) -> Sent:
    """Carry out a job in a process of its own.

    Raises:
        subprocess.CalledProcessError: the generator failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "chaos.bench.generator"],
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores.others),
    )
    return msgspec.json.decode(done.stdout, type=Sent)


@contextmanager
def bench_region(
    base: Path,
    shape: Shape,
    settings: WorldSettings,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> Iterator[BenchRegion]:
    """Bring a region up for as long as the block lasts, warm.

    Args:
        base: home folder whose models, keys and simulated history are used; made where missing.
        shape: what to bring up.
        settings: of the local world; its ports, moved by `PORT_OFFSET`, and first region count.
        report: told the share done and what is being done.

    Raises:
        WorldError: it does not start.
    """
    topology, name = load_topology(), settings.regions[0]
    ensure_published(base, name, feature_set(shape.features), report)
    others = [region for region in topology.region(name).sources if region != name]
    regions = (name, *others[: shape.sources - 1])
    topology = msgspec.structs.replace(
        topology,
        regions={
            region: msgspec.structs.replace(facts, shards=shape.shards)
            for region, facts in topology.regions.items()
        },
    )
    with tempfile.TemporaryDirectory(prefix="stepdown-bench-", ignore_cleanup_errors=True) as home:
        own = WorldSettings(
            home=Path(home),
            port_base=settings.port_base + PORT_OFFSET,
            workers=shape.workers,
            regions=regions,
            features=shape.features,
        )
        furnish(base, own.home, name, into=name)
        plan = _plan(embedded_plan(own, topology), name, dict(shape.environment))
        check_ports(plan)
        try:
            with claim(own.home) as claimed:
                world = claimed.launch(plan)
            wait_until_ready(world, timeout_s=READY_S, on_status=lambda _status: None)
            _replicate(world, own.home, name, others[: shape.sources - 1])
            ports = topology.ports(name, own.port_base)
            region = BenchRegion(
                world=world,
                name=name,
                host=own.connect_host,
                port=ports.api,
                requests=_requests(base, own.connect_host, ports.api),
                cores=Cores.of_machine(),
            )
            _pin(region)
            region.send(WARM_UP)
            yield region
        finally:
            bring_down(own.home)


def furnish(base: Path, home: Path, name: str, *, into: str) -> None:
    """Copy what the processes of a region load.

    Args:
        base: home folder that has it.
        home: to copy to.
        name: of the region there.
        into: name of the region here.
    """
    for part in OWN:
        found = base / part
        if found.is_dir():
            shutil.copytree(found, home / part, dirs_exist_ok=True)
        elif found.exists():
            shutil.copy2(found, home / part)
    shutil.copytree(base / name / "published", home / into / "published", symlinks=True)


def _plan(full: Plan, name: str, environment: Mapping[str, str]) -> Plan:
    """The region whole, and of the others their stores alone."""
    return Plan(
        processes=tuple(
            msgspec.structs.replace(spec, environment={**spec.environment, **environment})
            for spec in full.processes
            if spec.region == name or "/datastore" in spec.name
        )
    )


def _replicate(world: World, home: Path, name: str, others: list[str]) -> None:
    """Have the other stores hold what the region's own does."""
    password = Home(home).datastore_password.read_text("utf-8").strip()
    status = world.status()
    for process in status.processes:
        region, _, part = process.name.partition("/")
        if region in others and process.port is not None:
            with redis.Redis(port=process.port, password=password, protocol=2) as store:
                store.replicaof("127.0.0.1", str(status.port(f"{name}/{part}")))


def _pin(region: BenchRegion) -> None:
    """The scorers on cores of their own, everything else on the others."""
    for process in region.world.status().processes:
        own = process.name == f"{region.name}/scorer"
        assert process.pid is not None
        for pid in tree(process.pid):
            os.sched_setaffinity(pid, region.cores.scorers if own else region.cores.others)


def _requests(base: Path, host: str, port: int) -> list[bytes]:
    """The last attempts of the simulated history, as they come over the wire."""
    key = Registry(base).dev_key.read_text("ascii").strip()
    history = load_history(Registry(base).data)
    rows = np.arange(max(0, len(history) - BODIES), len(history))
    head = (
        f"POST /v1/decisions HTTP/1.1\r\nHost: {host}:{port}\r\nX-Api-Key: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    found = []
    for document in history.take(rows).documents():
        body = msgspec.json.encode({**document, "attempt_id": PLACEHOLDER.decode()})
        found.append(f"{head}{len(body)}\r\n\r\n".encode() + body)
    return found
