"""The hot path: CPU and latency of a decision, row by row, beside the floor.

Each row has two parts. Saturated, a closed loop keeps the scorer as busy as it can be: that gives
CPU a decision, of each part's processes. At half of that rate, at random times, latency is measured
from the moment a request should have been sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from app.errors import OperatorError
from chaos.bench.floor import Floor, bare_http_us, floor_of, reads
from chaos.bench.generator import Phase, Sent
from chaos.bench.region import SPARE_PORT, BenchRegion, Shape, bench_region
from chaos.bench.rows import PURE, RowSpec, prepared
from chaos.bench.serving import Saturation, latency_of, rungs_of
from regions.world.settings import WorldSettings

__all__ = ["HALF", "Row", "base_of", "measure_hot", "row_of"]

HALF = 0.5
BATCH_MAX = 32

Report = Callable[[float, str], None]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision costs.

    Attributes:
        name: of the row.
        cpu_us: CPU of the server's processes, a decision.
        cpu_us_by_part: of these and the others.
        decisions_per_core_second: by a server that has a core to itself.
        rate: answers a second, saturated.
        batch: decisions that were read at once, saturated; None where no counters are read.
        open_rate: attempts a second while latency was measured.
        p50_ms: latency; None, as the others, where the generator was late itself.
        p99_ms: of 99 %.
        p999_ms: of 99.9 %.
        lag_ms: most that an attempt waited for the generator itself.
        lag_p999_ms: 99.9th percentile of the same.
        rungs: share of each rung, saturated.
        failures: requests by what went wrong, both parts.
        floor_cpu_us: what it could not do without; None where that was not measured.
        floor_ratio: how many times that it costs.
        void: what is wrong with the row, one sentence each; empty for nothing.
    """

    name: str
    cpu_us: float
    cpu_us_by_part: dict[str, float]
    decisions_per_core_second: float
    rate: float
    batch: float | None
    open_rate: float
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    lag_ms: float
    lag_p999_ms: float
    rungs: dict[str, float]
    failures: dict[str, int]
    floor_cpu_us: float | None
    floor_ratio: float | None
    void: list[str]


def measure_hot(
    home: Path,
    rows: Sequence[RowSpec],
    settings: WorldSettings,
    *,
    seconds: float,
    connections: int,
    report: Report,
) -> dict[str, Any]:
    """Measure rows, each in the region that it needs.

    Args:
        home: whose models and history are used; made where missing.
        rows: to measure; those of one shape that follow each other share a region.
        settings: of the local world.
        seconds: of each part.
        connections: of the closed loop.
        report: told the share done and what is being done.

    Returns:
        `rows`, `floor_cpu_us` and `floor` (of the first row), `cores`.

    Raises:
        OperatorError: a row cannot be measured.
    """
    found: list[Row] = []
    floors: list[Floor] = []
    http_us: float | None = None
    for shape, group in groupby(rows, key=lambda row: row.shape):
        report(len(found) / len(rows), "bringing a region up")
        with bench_region(base_of(home, shape), shape, settings) as region:
            if http_us is None:
                report(len(found) / len(rows), "floor: bare HTTP and JSON")
                port = region.serving.port + SPARE_PORT
                http_us = bare_http_us(region, port=port, seconds=seconds, connections=connections)
            floor: Floor | None = None
            for spec in group:
                report(len(found) / len(rows), f"row {spec.name}")
                saturation, batch, sent = _measure(region, spec, seconds, connections)
                if floor is None:
                    size = max(1, min(round(batch or 1), BATCH_MAX))
                    floor = floor_of(
                        region, shape, http_us=http_us, batch=size, seconds=min(seconds, 3.0)
                    )
                    floors.append(floor)
                found.append(row_of(spec, saturation, sent, batch=batch, floor_us=floor.cpu_us))
            cores = region.serving.cores
    return {
        "rows": found,
        "floor_cpu_us": round(floors[0].cpu_us, 1),
        "floor": floors[0],
        "seconds": seconds,
        "connections": connections,
        "cores": {"server": sorted(cores.server), "others": sorted(cores.others)},
    }


def base_of(home: Path, shape: Shape) -> Path:
    """The home with the models of a shape: each feature set but the first has one of its own."""
    return home if shape.features == "reference" else home / "bench" / shape.features


def row_of(
    spec: RowSpec,
    saturation: Saturation,
    sent: Sent,
    *,
    batch: float | None,
    floor_us: float | None,
) -> Row:
    """Put a row together from its two parts."""
    cpu_us, latency = saturation.cpu_us["scorer"], latency_of(sent)
    rungs = rungs_of(saturation.sent)
    failures: dict[str, int] = {}
    for part in (saturation.sent, sent):
        for why, count in part.failures.items():
            failures[why] = failures.get(why, 0) + count
    return Row(
        name=spec.name,
        cpu_us=round(cpu_us, 1),
        cpu_us_by_part={part: round(used, 1) for part, used in saturation.cpu_us.items()},
        decisions_per_core_second=round(1e6 / cpu_us, 1),
        rate=round(saturation.rate, 1),
        batch=None if batch is None else round(batch, 1),
        open_rate=round(saturation.rate * HALF, 1),
        p50_ms=latency.p50,
        p99_ms=latency.p99,
        p999_ms=latency.p999,
        lag_ms=sent.lag_ms,
        lag_p999_ms=sent.lag_p999_ms,
        rungs=rungs,
        failures=failures,
        floor_cpu_us=None if floor_us is None else round(floor_us, 1),
        floor_ratio=None if floor_us is None else round(cpu_us / floor_us, 2),
        void=_void(spec, rungs, failures, late=latency.p50 is None, ended=saturation.ended),
    )


def _void(
    spec: RowSpec,
    rungs: Mapping[str, float],
    failures: Mapping[str, int],
    *,
    late: bool,
    ended: Sequence[str],
) -> list[str]:
    found = [f"CPU: a process of {part} ended while it was measured." for part in ended]
    if rungs.get(spec.rung, 0.0) < PURE:
        found.append(f"CPU: {spec.rung} answered only {rungs.get(spec.rung, 0.0):.1%}.")
    if late:
        found.append("latency: the generator was late itself.")
    if failures:
        found.append(f"failures: {sum(failures.values())}.")
    return found


def _measure(
    region: BenchRegion, spec: RowSpec, seconds: float, connections: int
) -> tuple[Saturation, float | None, Sent]:
    """Both parts of a row, and how many decisions were read at once."""
    with prepared(region, spec):
        counted = spec.rung == "full"
        store = region.stores()[0]
        before = reads(store) if counted else 0
        saturation = region.serving.saturate(seconds, connections)
        batch = None
        if counted and (read := reads(store) - before) > 0:
            batch = len(saturation.sent.latency_ms) / read
        sent = region.serving.send(
            Phase(seconds=seconds, rate=saturation.rate * HALF), connections=connections
        )
    if not sent.latency_ms:
        raise OperatorError(f"row {spec.name}: nothing was answered: {dict(sent.failures)}.")
    return saturation, batch, sent
