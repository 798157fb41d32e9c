"""The floor: what a decision would cost if all but the unavoidable were free.

    floor = bare HTTP and JSON + one round trip to every source + one evaluation of the full model

Each part is measured on the machine and in the run of the rows that are held against it: the first
by the same generator, the others in a process that does nothing else, at the batch size that the
scorer was seen to work with.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import redis

from app.api.wire import Attempt
from app.candidate import entity_ids
from app.features.packed import key
from app.features.sets import feature_set
from app.features.spec import FeatureSet
from app.registry import DEMO_TENANT
from chaos.bench.cpu import Cores
from chaos.bench.floor_worker import Parts, Task
from chaos.bench.processes import HOST, served
from chaos.bench.region import BenchRegion, Shape
from chaos.bench.serving import Serving

__all__ = ["Floor", "bare_http", "floor_of", "reads"]

BODIES = 1_000
WARM_UP_S = 1.0
DECISIONS = 2_048


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """CPU that a decision cannot do without, us.

    Attributes:
        http_us: bare HTTP and JSON.
        round_trip_us: one read of every source.
        evaluation_us: one evaluation of the full model.
        batch: decisions that were read and evaluated at once.
    """

    http_us: float
    round_trip_us: float
    evaluation_us: float
    batch: int

    @property
    def cpu_us(self) -> float:
        """All parts together."""
        return self.http_us + self.round_trip_us + self.evaluation_us


@contextmanager
def bare_http(region: BenchRegion, *, port: int) -> Iterator[Serving]:
    """A server that gets the requests of a region, and decides nothing."""
    with tempfile.TemporaryDirectory(prefix="stepdown-floor-") as folder:
        command = [
            *(sys.executable, "-m", "gunicorn", "-k", "app.server.Worker", "-w", "1"),
            *("-b", f"{HOST}:{port}", "--keep-alive", "75", "--log-level", "warning"),
            *("--pythonpath", str(Path(__file__).parents[2]), "chaos.bench.floor_app:app"),
        ]
        bodies = [msgspec.json.encode(one) for one in region.attempts[:BODIES]]
        with served(
            command, folder=Path(folder), port=port, path="/v1/decisions", bodies=bodies
        ) as serving:
            serving.saturate(WARM_UP_S)
            yield serving


def floor_of(
    region: BenchRegion, shape: Shape, *, http_us: float, batch: int, seconds: float
) -> Floor:
    """The floor of a region as it stands, with its stores as they are filled."""
    stores = region.stores()
    ports = [int(store.connection_pool.connection_kwargs["port"]) for store in stores]
    task = Task(
        sources=[ports[at : at + shape.shards] for at in range(0, len(ports), shape.shards)],
        password=stores[0].connection_pool.connection_kwargs["password"],
        names=_names(region, feature_set(shape.features)),
        models=str(region.published / "model"),
        batch=batch,
        seconds=seconds,
    )
    cores = Cores.of_machine()
    done = subprocess.run(
        [sys.executable, "-m", "chaos.bench.floor_worker"],
        input=msgspec.json.encode(task),
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores.server),
    )
    parts = msgspec.json.decode(done.stdout, type=Parts)
    return Floor(
        http_us=http_us,
        round_trip_us=parts.round_trip_us,
        evaluation_us=parts.evaluation_us,
        batch=batch,
    )


def reads(store: redis.Redis) -> int:
    """Batches of counters that scorers have read from a store so far."""
    told = store.info("commandstats")
    # An applier reads counters, too, but watches its marker as it does.
    calls = [told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("mget", "watch")]
    return int(calls[0] - calls[1])


def _names(region: BenchRegion, features: FeatureSet) -> list[list[str]]:
    """Keys that decisions read."""
    found = []
    for one in region.attempts[:DECISIONS]:
        ids = entity_ids(msgspec.convert(one, Attempt))
        known = [entity for entity in features.entities if entity in ids]
        found.append([key(DEMO_TENANT, entity, ids[entity]) for entity in known])
    return found
