"""What a decision costs the scorers: CPU of their processes under a steady load."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chaos.load import Load
from regions.world.control import World

__all__ = ["ScorerSide", "measure_scorer_side"]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SETTLE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSide:
    """Cost of the read side and the models, at one rate.

    Attributes:
        requests: answered while it was measured.
        failed: of them, refused, late or in error.
        rungs: answers by rung.
        cpu_us: CPU of all scorer processes, a request. At a low rate much of it is fixed cost.
        latency_ms: quantiles, by name, from the time that a request should have been sent.
    """

    requests: int
    failed: int
    rungs: dict[str, int]
    cpu_us: float
    latency_ms: dict[str, float]


async def measure_scorer_side(
    world: World, load: Load, *, region: str, seconds: float
) -> ScorerSide:
    """Send a load for some time, and see what it costs the region's scorers.

    Args:
        world: that runs.
        load: to send.
        region: whose scorers.
        seconds: how long is measured; the load runs a little longer.
    """
    processes = world.status().processes
    master = next(p.pid for p in processes if p.name == f"{region}/scorer" and p.pid is not None)
    async with load.running():
        await asyncio.sleep(SETTLE_S)
        first, before = len(load.outcomes), _cpu_s(master)
        await asyncio.sleep(seconds)
        outcomes, after = load.outcomes[first:], _cpu_s(master)
    latency = np.percentile([outcome.latency_ms for outcome in outcomes], [50, 99, 99.9])
    return ScorerSide(
        requests=len(outcomes),
        failed=sum(outcome.failure is not None for outcome in outcomes),
        rungs=dict(Counter(o.rung for o in outcomes if o.rung is not None)),
        cpu_us=round((after - before) / len(outcomes) * 1e6, 1),
        latency_ms=dict(zip(("p50", "p99", "p999"), latency.round(1).tolist(), strict=True)),
    )


def _cpu_s(master: int) -> float:
    """CPU that a process and its children have used so far, seconds."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text("ascii").split()
    return sum(_used_s(pid) for pid in (master, *map(int, children)))


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
