"""More than the scorer can do, for a while: does it answer, in time, and climb back?

Open loop: calm, then a multiple of what it can do, then calm again. Whoever waits for an answer
does not stop others from asking, so what cannot be served in time must be stepped down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from chaos.bench.generator import LAG_MS_MAX, Phase, Sent
from chaos.bench.region import BenchRegion

__all__ = ["Part", "full_again_s", "measure_overload", "parts_of", "rungs_by_second"]

HARD_MS = 100.0
# "Full again" is when a second's share of full is this close to the calm before.
NEAR = 0.01
PARTS = ("calm", "overload", "after")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the run.

    Attributes:
        name: "calm", "overload" or "after".
        rate: attempts a second, as asked for.
        answers: that came.
        in_time: share of what was asked that was answered within the deadline.
        p50_ms: latency from when they should have been sent.
        p99_ms: of 99 %.
        rungs: share of each rung.
    """

    name: str
    rate: float
    answers: int
    in_time: float
    p50_ms: float
    p99_ms: float
    rungs: dict[str, float]


def measure_overload(
    region: BenchRegion,
    *,
    seconds: float,
    calm_seconds: float,
    calm: float,
    peak: float,
    connections: int,
    report: Callable[[float, str], None],
) -> dict[str, Any]:
    """Find out what the region can do, then send more.

    Args:
        region: that runs.
        seconds: of overload.
        calm_seconds: before and after it.
        calm: rate of the calm parts, as a share of saturation.
        peak: rate of the overload, the same way.
        connections: of the closed loop that finds saturation.
        report: told the share done and what is being done.
    """
    report(0.1, "what can it do?")
    rate = region.serving.saturate(calm_seconds, connections).rate
    report(0.3, f"{calm:g}x, {peak:g}x for {seconds:g} s, {calm:g}x")
    phases = [
        Phase(seconds=calm_seconds, rate=rate * calm),
        Phase(seconds=seconds, rate=rate * peak),
        Phase(seconds=calm_seconds, rate=rate * calm),
    ]
    sent = region.serving.send(*phases, connections=connections)
    requests = len(sent.latency_ms) + sum(sent.failures.values())
    shares = rungs_by_second(sent, sum(phase.seconds for phase in phases))
    return {
        "saturation": round(rate, 1),
        "requests": requests,
        "errors": dict(sent.failures),
        "in_time": round(_in_time(np.array(sent.latency_ms), requests), 5),
        "parts": parts_of(sent, phases),
        "full_again_s": full_again_s(
            shares.get("full", []), int(calm_seconds), int(calm_seconds + seconds)
        ),
        "lag_ms": sent.lag_ms,
        "lag_p999_ms": sent.lag_p999_ms,
        "void": sent.lag_p999_ms > LAG_MS_MAX,
        "rungs_by_second": shares,
    }


def rungs_by_second(sent: Sent, seconds: float) -> dict[str, list[float]]:
    """Share of what should have been sent in each second that each rung answered; 0 of nothing."""
    bins = np.arange(int(np.ceil(seconds)) + 1)
    all_of, _ = np.histogram([*sent.due_s, *sent.given_up_s], bins)
    rung = np.array(sent.rung)
    due_s = np.array(sent.due_s)
    return {
        name: (np.histogram(due_s[rung == at], bins)[0] / np.maximum(all_of, 1)).round(4).tolist()
        for at, name in enumerate(sent.rungs)
    }


def full_again_s(full: list[float], from_second: int, until_second: int) -> int | None:
    """Seconds from the end of the overload until full answers as much as in the calm before.

    Args:
        full: its share, second by second.
        from_second: when the overload began.
        until_second: when it ended.

    Returns:
        Whole seconds, 0 for at once; None for never.
    """
    before = float(np.mean(full[:from_second])) if full[:from_second] else 0.0
    after = full[until_second:]
    if not before:
        return None
    return next((at for at, share in enumerate(after) if share >= before - NEAR), None)


def _in_time(latency_ms: npt.NDArray[np.float64], asked: int) -> float:
    """Share of what was asked that was answered within the deadline."""
    return int(np.sum(latency_ms <= HARD_MS)) / asked


def parts_of(sent: Sent, phases: Sequence[Phase]) -> list[Part]:
    """What came of each part, calm, overload and after; none of one in which nothing was answered.

    Args:
        sent: what came back.
        phases: that were sent.
    """
    ends_s = np.cumsum([phase.seconds for phase in phases])
    due_s, latency_ms = np.array(sent.due_s), np.array(sent.latency_ms)
    rung, given_up_s = np.array(sent.rung), np.array(sent.given_up_s)
    found = []
    for name, phase, end_s in zip(PARTS, phases, ends_s.tolist(), strict=False):
        own = (due_s >= end_s - phase.seconds) & (due_s < end_s)
        if not own.any():
            continue
        given_up = (given_up_s >= end_s - phase.seconds) & (given_up_s < end_s)
        p50, p99 = np.percentile(latency_ms[own], [50, 99]).round(2).tolist()
        found.append(
            Part(
                name=name,
                rate=round(phase.rate, 1),
                answers=int(own.sum()),
                in_time=round(_in_time(latency_ms[own], int(own.sum() + given_up.sum())), 5),
                p50_ms=p50,
                p99_ms=p99,
                rungs={
                    one: round(float(np.mean(rung[own] == at)), 4)
                    for at, one in enumerate(sent.rungs)
                },
            )
        )
    return found
