"""A region of its own to measure: brought up, pinned to cores, warmed, taken down."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import redis

from app.bootstrap import ensure_published
from app.errors import OperatorError
from app.features.sets import feature_set
from app.models.training.history import load_history
from app.registry import Registry
from chaos.bench.collector import collector
from chaos.bench.cpu import Cores, pin, tree
from chaos.bench.generator import PLACEHOLDER, Phase
from chaos.bench.serving import Serving, request
from regions.topology import load_topology
from regions.world.control import World
from regions.world.embedded import embedded_plan
from regions.world.errors import WorldError
from regions.world.home import Home
from regions.world.lifecycle import bring_down, check_ports, claim, wait_until_ready
from regions.world.plan import Plan
from regions.world.settings import WorldSettings

__all__ = [
    "PEERS_PORT",
    "PORT_OFFSET",
    "SPARE_PORT",
    "BenchRegion",
    "Shape",
    "bench_region",
    "furnish",
]

READY_S = 120.0
BODIES = 4_000
WARM_UP = Phase(seconds=6.0)
# Away from the service that may run here.
PORT_OFFSET = 4_000
# Ports that a region leaves free: one, and from the other on nine.
SPARE_PORT = 30
PEERS_PORT = 70
# Parts that a region reads counters from.
STORES = ("datastore", "replica-")
OWN = ("secrets", "trusted-keys", "keys.json", "dev-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is brought up.

    Attributes:
        features: feature set.
        sources: stores that a decision reads, 1 to 3; all but the first are replicas of it.
        shards: of each store.
        workers: scorer processes.
        traced: the usual share of decisions is traced, to a collector that takes everything.
        environment: settings of the region's processes, above those of any region.
    """

    features: Literal["reference", "wide"] = "reference"
    sources: int = 1
    shards: int = 1
    workers: int = 1
    traced: bool = False
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRegion:
    """A region that runs.

    Attributes:
        world: its processes.
        name: of the region.
        home: folder of its state.
        serving: its API.
        attempts: bodies that are sent, before they are JSON.
    """

    world: World
    name: str
    home: Path
    serving: Serving
    attempts: Sequence[Mapping[str, Any]]

    @property
    def published(self) -> Path:
        """Folder of what its scorers load."""
        return self.home / self.name / "published"

    def scorer(self) -> int:
        """The scorers' master process."""
        pid = self.world.process(f"{self.name}/scorer").pid
        assert pid is not None
        return pid

    def stores(self) -> list[redis.Redis]:
        """A client of each datastore that is read, source by source."""
        password = Home(self.home).datastore_password.read_text("utf-8").strip()
        return [
            redis.Redis(port=one.port, password=password, protocol=2)
            for one in self.world.status().processes
            if one.name.partition("/")[2].startswith(STORES) and one.port is not None
        ]


@contextmanager
def bench_region(
    base: Path,
    shape: Shape,
    settings: WorldSettings,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> Iterator[BenchRegion]:
    """Bring a region up for as long as the block lasts, pinned and warm.

    Args:
        base: home folder whose models, keys and simulated history are used; made where missing.
        shape: what to bring up.
        settings: of the local world; its ports, moved by `PORT_OFFSET`, and first region count.
        report: told the share done and what is being done.

    Raises:
        OperatorError: it does not start.
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
    with ExitStack() as stack:
        home = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="stepdown-bench-", ignore_cleanup_errors=True)
        )
        environment = dict(shape.environment)
        if shape.traced:
            environment["STEPDOWN_OTLP_ENDPOINT"] = stack.enter_context(collector())
        own = WorldSettings(
            home=Path(home),
            port_base=settings.port_base + PORT_OFFSET,
            workers=shape.workers,
            regions=regions,
            features=shape.features,
            network="direct",
        )
        furnish(base, own.home, name, into=name)
        try:
            plan = _plan(embedded_plan(own, topology), name, environment)
            check_ports(plan)
            with claim(own.home) as claimed:
                world = claimed.launch(plan)
            wait_until_ready(world, timeout_s=READY_S, on_status=lambda _status: None)
            _replicate(world, own.home, name)
            port = topology.ports(name, own.port_base).api
            region = _region(world, own, name, port, attempts=_attempts(base), key=_key(base))
            _pin(region)
            region.serving.send(WARM_UP)
            yield region
        except WorldError as error:
            raise OperatorError(str(error)) from error
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
    """The region alone, with its copies of the others' stores."""
    return Plan(
        processes=tuple(
            msgspec.structs.replace(spec, environment={**spec.environment, **environment})
            for spec in full.processes
            if spec.region == name
        )
    )


def _replicate(world: World, home: Path, name: str) -> None:
    """Have the copies hold what the region's own store does: the other regions do not run."""
    password = Home(home).datastore_password.read_text("utf-8").strip()
    status = world.status()
    own = [one.port for one in status.processes if one.name.startswith(f"{name}/datastore")]
    copies = [one.port for one in status.processes if one.name.startswith(f"{name}/replica-")]
    for number, port in enumerate(copies):
        assert port is not None
        with redis.Redis(port=port, password=password, protocol=2) as store:
            store.replicaof("127.0.0.1", str(own[number % len(own)]))


def _region(
    world: World,
    own: WorldSettings,
    name: str,
    port: int,
    *,
    attempts: Sequence[Mapping[str, Any]],
    key: str,
) -> BenchRegion:
    headers = {"X-Api-Key": key, "Host": f"{own.connect_host}:{port}"}
    serving = Serving(
        host=own.connect_host,
        port=port,
        requests=[request("/v1/decisions", headers, msgspec.json.encode(one)) for one in attempts],
        cores=Cores.of_machine(),
        trees=lambda: _trees(world),
    )
    return BenchRegion(world=world, name=name, home=own.home, serving=serving, attempts=attempts)


def _trees(world: World) -> dict[str, list[int]]:
    """Processes by part: scorer, applier, datastores and others."""
    found: dict[str, list[int]] = {"scorer": [], "applier": [], "datastores": [], "others": []}
    for process in world.status().processes:
        part = process.name.partition("/")[2]
        kind = "datastores" if part.startswith(STORES) else part
        if process.pid is not None:
            found[kind if kind in found else "others"] += tree(process.pid)
    return found


def _pin(region: BenchRegion) -> None:
    """The scorers on cores of their own, everything else, also what starts later, on the others."""
    cores = region.serving.cores
    pin([region.world.status().supervisor_pid], cores.others)
    for part, pids in region.serving.trees().items():
        pin(pids, cores.server if part == "scorer" else cores.others)


def _key(base: Path) -> str:
    return Registry(base).dev_key.read_text("ascii").strip()


def _attempts(base: Path) -> list[dict[str, Any]]:
    """The last attempts of the simulated history, each sent with a fresh id."""
    history = load_history(Registry(base).data)
    rows = np.arange(max(0, len(history) - BODIES), len(history))
    fresh = PLACEHOLDER.decode()
    return [{**one, "attempt_id": fresh} for one in history.take(rows).documents()]
