"""Callers that cannot wait as long as others: what do they get, and is it in time?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from chaos.bench.generator import LAG_MS_MAX, Phase, Sent
from chaos.bench.region import BenchRegion
from chaos.bench.serving import rungs_of

__all__ = ["Asked", "asked_of", "measure_deadlines"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What callers got who asked for one deadline.

    Attributes:
        deadline_ms: `X-Deadline-Ms`.
        requests: that were sent.
        failed: of them, not answered with a decision.
        in_time: share of all that was answered within the deadline.
        rungs: share of each rung among the answers.
        p50_ms: latency from when they should have been sent.
        p99_ms: of 99 %.
        lag_ms: most that a request waited for the generator itself.
        void: the generator was late itself.
    """

    deadline_ms: int
    requests: int
    failed: int
    in_time: float
    rungs: dict[str, float]
    p50_ms: float
    p99_ms: float
    lag_ms: float
    void: bool


def measure_deadlines(
    region: BenchRegion,
    deadlines_ms: Sequence[int],
    *,
    load: float,
    seconds: float,
    connections: int,
    report: Callable[[float, str], None],
) -> tuple[float, list[Asked]]:
    """Ask for one deadline after the other, at a share of what the region can do.

    Args:
        region: that runs.
        deadlines_ms: to ask for.
        load: rate as a share of saturation.
        seconds: of each.
        connections: of the closed loop that finds saturation.
        report: told the share done and what is being done.

    Returns:
        Attempts a second, and what came of each deadline.
    """
    report(0.1, "what can it do?")
    rate = region.serving.saturate(seconds, connections).rate * load
    found = []
    for number, deadline_ms in enumerate(deadlines_ms, start=1):
        report(number / (len(deadlines_ms) + 1), f"within {deadline_ms} ms")
        serving = region.serving.with_header(b"X-Deadline-Ms: %d" % deadline_ms)
        sent = serving.send(Phase(seconds=seconds, rate=rate), connections=connections)
        found.append(asked_of(deadline_ms, sent))
    return rate, found


def asked_of(deadline_ms: int, sent: Sent) -> Asked:
    """What came of one deadline."""
    latency_ms = np.array(sent.latency_ms or [float("inf")])
    failed = sum(sent.failures.values())
    requests = len(sent.latency_ms) + failed
    p50, p99 = np.percentile(latency_ms, [50, 99]).round(2).tolist()
    return Asked(
        deadline_ms=deadline_ms,
        requests=requests,
        failed=failed,
        in_time=round(int((latency_ms <= deadline_ms).sum()) / max(requests, 1), 5),
        rungs=rungs_of(sent),
        p50_ms=p50,
        p99_ms=p99,
        lag_ms=sent.lag_ms,
        void=sent.lag_p999_ms > LAG_MS_MAX,
    )
