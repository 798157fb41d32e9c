"""Many requests: does the scorer keep memory or descriptors that it should give back?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from app.errors import OperatorError
from chaos.bench.generator import Phase
from chaos.bench.region import BenchRegion

__all__ = ["Sample", "Soak", "measure_soak", "slope_mb"]

# Share of the requests after which memory is looked at.
WARM_UP = 0.25
CHUNK_S = 5.0
PAGE = os.sysconf("SC_PAGE_SIZE")
MB = 1_000_000


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The scorer's processes at one moment.

    Attributes:
        requests: answered so far.
        rss_mb: resident memory of all of them.
        descriptors: that they hold open, of all of them.
    """

    requests: int
    rss_mb: float
    descriptors: int


class Soak(msgspec.Struct, frozen=True, kw_only=True):
    """What many requests left behind.

    Attributes:
        requests: answered.
        failures: by what went wrong.
        rss_mb_per_100000: slope of memory after the warm-up.
        rss_mb: after the warm-up and at the end.
        descriptors: after the warm-up and at the end.
        samples: all of them.
    """

    requests: int
    failures: dict[str, int]
    rss_mb_per_100000: float
    rss_mb: tuple[float, float]
    descriptors: tuple[int, int]
    samples: list[Sample]


def measure_soak(
    region: BenchRegion,
    requests: int,
    *,
    connections: int,
    report: Callable[[float, str], None],
    chunk_s: float = CHUNK_S,
) -> Soak:
    """Send requests as fast as they are answered, and look at the scorer in between.

    Args:
        region: that runs.
        requests: to send at least.
        connections: of the closed loop; each look is taken without any.
        report: told the share done and what is being done.
        chunk_s: between two looks.

    Raises:
        OperatorError: nothing is answered.
    """
    done, failures = 0, dict[str, int]()
    samples = [_sample(region, 0)]
    while done < requests:
        sent = region.serving.send(Phase(seconds=chunk_s), connections=connections)
        if not sent.latency_ms:
            raise OperatorError(f"nothing is answered any more: {dict(sent.failures)}.")
        done += len(sent.latency_ms)
        for why, count in sent.failures.items():
            failures[why] = failures.get(why, 0) + count
        samples.append(_sample(region, done))
        report(min(done / requests, 1.0), f"{done:,} of {requests:,} answered")
    warm = [one for one in samples if one.requests >= done * WARM_UP]
    return Soak(
        requests=done,
        failures=failures,
        rss_mb_per_100000=round(slope_mb(warm), 2),
        rss_mb=(warm[0].rss_mb, warm[-1].rss_mb),
        descriptors=(warm[0].descriptors, warm[-1].descriptors),
        samples=samples,
    )


def slope_mb(samples: Sequence[Sample]) -> float:
    """Growth of memory by least squares, MB per 100,000 requests; 0 for fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    fitted = np.polyfit([one.requests for one in samples], [one.rss_mb for one in samples], 1)
    return float(fitted[0] * 100_000)


def _sample(region: BenchRegion, requests: int) -> Sample:
    folders = [Path(f"/proc/{pid}") for pid in region.serving.trees()["scorer"]]
    pages = [int((one / "statm").read_text("ascii").split()[1]) for one in folders]
    return Sample(
        requests=requests,
        rss_mb=round(sum(pages) * PAGE / MB, 2),
        descriptors=sum(len(list((one / "fd").iterdir())) for one in folders),
    )
