"""The hot path: CPU and latency of a decision, row by row, beside the floor and the peers.

Each row has two parts. Saturated, a closed loop keeps the scorer as busy as it can be: that gives
CPU a decision, of each part's processes. At half of that rate, at random times, latency is measured
from the moment a request should have been sent.

Processors that are shared change their speed within minutes. So a row is saturated in several
rounds, each followed by the floor and the peers, and what is compared is of one round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from app.errors import OperatorError
from chaos.bench.floor import Floor, bare_http, floor_of, reads
from chaos.bench.generator import Phase, Sent
from chaos.bench.region import SPARE_PORT, BenchRegion, Shape, bench_region
from chaos.bench.rows import PURE, RowSpec, prepared
from chaos.bench.serving import Saturation, Serving, latency_of, rungs_of
from regions.world.settings import WorldSettings

__all__ = ["HALF", "Round", "Row", "base_of", "measure_hot", "row_of", "times"]

HALF = 0.5
BATCH_MAX = 32
# Of the floor's parts that run in a process of their own.
FLOOR_S_MAX = 3.0
WARM_UP_S = 2.0

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was measured within a minute or so.

    Attributes:
        saturation: of the row.
        batch: decisions that were read at once; None where no counters are read.
        floor: of the row.
        peers_us: CPU of a decision of each peer.
    """

    saturation: Saturation
    batch: float | None
    floor: Floor
    peers_us: Mapping[str, float]

    @property
    def cpu_us(self) -> float:
        """The scorer's CPU, a decision."""
        return self.saturation.cpu_us["scorer"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision costs; of several rounds the median.

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
        floor_cpu_us: what it could not do without.
        floor_ratios: how many times that it costs, round by round.
        peer_ratios: how many decisions a core makes for one of each peer's, round by round.
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
    floor_cpu_us: float
    floor_ratios: list[float]
    peer_ratios: dict[str, list[float]]
    void: list[str]


def measure_hot(
    home: Path,
    rows: Sequence[RowSpec],
    settings: WorldSettings,
    *,
    seconds: float,
    rounds: int,
    connections: int,
    peers: Mapping[str, Serving],
    report: Report,
) -> dict[str, Any]:
    """Measure rows, each in the region that it needs.

    Args:
        home: whose models and history are used; made where missing.
        rows: to measure; those of one shape that follow each other share a region.
        settings: of the local world.
        seconds: of each part.
        rounds: of the saturated part.
        connections: of the closed loop.
        peers: servers that every row is held against, by name.
        report: told the share done and what is being done.

    Returns:
        `rows`, `floor_cpu_us` and `floor` (of the first row), `cores`.

    Raises:
        OperatorError: a row cannot be measured.
    """
    found: list[Row] = []
    floors: list[Floor] = []
    for shape, group in groupby(rows, key=lambda row: row.shape):
        report(len(found) / len(rows), "bringing a region up")
        with (
            bench_region(base_of(home, shape), shape, settings) as region,
            bare_http(region, port=region.serving.port + SPARE_PORT) as bare,
        ):
            for spec in group:
                row = _Measured(region, spec, bare, peers, seconds, connections)
                made, floor = row.measure(
                    rounds,
                    lambda share, what, name=spec.name: report(  # type: ignore[misc]
                        (len(found) + share) / len(rows), f"row {name}: {what}"
                    ),
                )
                found.append(made)
                floors.append(floor)
            cores = region.serving.cores
    return {
        "rows": found,
        "floor_cpu_us": round(floors[0].cpu_us, 1),
        "floor": floors[0],
        "seconds": seconds,
        "rounds": rounds,
        "connections": connections,
        "cores": {"server": sorted(cores.server), "others": sorted(cores.others)},
    }


def base_of(home: Path, shape: Shape) -> Path:
    """The home with the models of a shape: each feature set but the first has one of its own."""
    return home if shape.features == "reference" else home / "bench" / shape.features


def row_of(spec: RowSpec, rounds: Sequence[Round], sent: Sent) -> Row:
    """Put a row together from its two parts.

    Args:
        spec: of the row.
        rounds: in which it was saturated, at least one.
        sent: at half of that rate.
    """
    cpu_us = median(one.cpu_us for one in rounds)
    rate = median(one.saturation.rate for one in rounds)
    latency, saturated = latency_of(sent), [one.saturation.sent for one in rounds]
    batches = [one.batch for one in rounds if one.batch is not None]
    rungs = rungs_of(*saturated)
    failures = Counter[str]()
    for part in (*saturated, sent):
        failures.update(part.failures)
    return Row(
        name=spec.name,
        cpu_us=round(cpu_us, 1),
        cpu_us_by_part={
            part: round(median(one.saturation.cpu_us[part] for one in rounds), 1)
            for part in rounds[0].saturation.cpu_us
        },
        decisions_per_core_second=round(1e6 / cpu_us, 1),
        rate=round(rate, 1),
        batch=round(median(batches), 1) if batches else None,
        open_rate=round(rate * HALF, 1),
        p50_ms=latency.p50,
        p99_ms=latency.p99,
        p999_ms=latency.p999,
        lag_ms=sent.lag_ms,
        lag_p999_ms=sent.lag_p999_ms,
        rungs=rungs,
        failures=dict(failures),
        floor_cpu_us=round(median(one.floor.cpu_us for one in rounds), 1),
        floor_ratios=[round(one.cpu_us / one.floor.cpu_us, 2) for one in rounds],
        peer_ratios={
            name: [round(one.peers_us[name] / one.cpu_us, 2) for one in rounds]
            for name in rounds[0].peers_us
        },
        void=_void(
            spec,
            rungs,
            failures,
            late=latency.p50 is None,
            ended=[part for one in rounds for part in one.saturation.ended],
        ),
    )


def times(ratios: Sequence[float]) -> str:
    """Ratios of several rounds for people: the median, the least and the most."""
    if len(ratios) == 1:
        return f"{ratios[0]:.3g}"
    return f"{median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g})"


def _void(
    spec: RowSpec,
    rungs: Mapping[str, float],
    failures: Mapping[str, int],
    *,
    late: bool,
    ended: Sequence[str],
) -> list[str]:
    found = [
        f"CPU: a process of {part} ended while it was measured." for part in dict.fromkeys(ended)
    ]
    if rungs.get(spec.rung, 0.0) < PURE:
        found.append(f"CPU: {spec.rung} answered only {rungs.get(spec.rung, 0.0):.1%}.")
    if late:
        found.append("latency: the generator was late itself.")
    if failures:
        found.append(f"failures: {sum(failures.values())}.")
    return found


@dataclass(frozen=True, slots=True)
class _Measured:
    """A row, and what it is measured with."""

    region: BenchRegion
    spec: RowSpec
    bare: Serving
    peers: Mapping[str, Serving]
    seconds: float
    connections: int

    def measure(self, rounds: int, report: Report) -> tuple[Row, Floor]:
        """Both parts of the row, and the floor of its first round."""
        # Of a lower rung it is that of the full one, whose stores the row is about to do without.
        whole = None if self.spec.rung == "full" else self._floor(BATCH_MAX)
        with prepared(self.region, self.spec):
            self.region.serving.saturate(WARM_UP_S, self.connections)
            found = []
            for number in range(rounds):
                report(number / (rounds + 1), f"round {number + 1} of {rounds}")
                found.append(self._round(whole))
            report(rounds / (rounds + 1), "latency")
            rate = median(one.saturation.rate for one in found) * HALF
            sent = self.region.serving.send(
                Phase(seconds=self.seconds, rate=rate), connections=self.connections
            )
        if not sent.latency_ms:
            raise OperatorError(
                f"row {self.spec.name}: nothing was answered: {dict(sent.failures)}."
            )
        return row_of(self.spec, found, sent), found[0].floor

    def _round(self, whole: Floor | None) -> Round:
        store = self.region.stores()[0] if self.spec.rung == "full" else None
        before = 0 if store is None else reads(store)
        saturation = self.region.serving.saturate(self.seconds, self.connections)
        read = 0 if store is None else reads(store) - before
        batch = len(saturation.sent.latency_ms) / read if read else None
        floor = (
            self._floor(max(1, min(round(batch or 1), BATCH_MAX)))
            if whole is None
            else msgspec.structs.replace(whole, http_us=self._http_us())
        )
        peers_us = {
            name: peer.saturate(self.seconds, self.connections).cpu_us["server"]
            for name, peer in self.peers.items()
        }
        return Round(saturation=saturation, batch=batch, floor=floor, peers_us=peers_us)

    def _floor(self, batch: int) -> Floor:
        return floor_of(
            self.region,
            self.spec.shape,
            http_us=self._http_us(),
            batch=batch,
            seconds=min(self.seconds, FLOOR_S_MAX),
        )

    def _http_us(self) -> float:
        seconds = min(self.seconds, FLOOR_S_MAX)
        return self.bare.saturate(seconds, self.connections).cpu_us["server"]
