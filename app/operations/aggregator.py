"""The last push of every process of the region, and totals that never go back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import cast

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.agreement import gap_histogram
from app.operations.metrics import counters, gauges, histogram
from app.operations.readiness import readiness_of
from app.telemetry import BOUNDS_MS, Push

__all__ = ["Aggregator"]

# A scorer pushes every second; one that was not heard of for this long is not counted on.
SILENT_S = 5.0
# By then a scorer that hung has been replaced, so that its totals can be folded for good.
GONE_S = 3_600.0


class Aggregator(asyncio.DatagramProtocol, Collector):
    """Holds the last push of every process; totals of those that are gone are kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decoder = msgspec.msgpack.Decoder(Push)
        self._pushes: dict[str, tuple[float, Push]] = {}
        self._gone: Counter[str] = Counter()
        self._gone_latency = [0] * (len(BOUNDS_MS) + 1)
        self._gone_sum_ms = 0.0
        self.unreadable = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002
        """Take one push."""
        try:
            push = self._decoder.decode(data)
        except msgspec.MsgspecError:
            push = None
        if push is None or len(push.latency) != len(BOUNDS_MS) + 1:  # one of another release
            self.unreadable += 1
            return
        self._pushes[push.process] = (self._clock(), push)

    def live(self) -> list[Push]:
        """The last push of every process heard of lately."""
        self._bury()
        oldest_s = self._clock() - SILENT_S
        return [push for heard_s, push in self._pushes.values() if heard_s >= oldest_s]

    def readiness(self) -> dict[str, object]:
        """The region's readiness: a rung can be served if any scorer can serve it."""
        return readiness_of(self.live(), self._totals())

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets."""
        readiness = self.readiness()
        totals = self._totals()
        latency, sum_ms = list(self._gone_latency), self._gone_sum_ms
        for _, push in self._pushes.values():
            latency = [a + b for a, b in zip(latency, push.latency, strict=True)]
            sum_ms += push.latency_sum_ms
        yield from counters(totals)
        yield histogram(latency, sum_ms)
        yield gap_histogram(totals)
        yield GaugeMetricFamily(
            "stepdown_scorers", "Scorers heard of lately.", cast("int", readiness["scorers"])
        )
        yield CounterMetricFamily(
            "stepdown_pushes_unreadable", "Telemetry datagrams not understood.", self.unreadable
        )
        yield from gauges(readiness)

    def _totals(self) -> Counter[str]:
        """Counters of all processes that ever pushed."""
        totals = Counter(self._gone)
        for _, push in self._pushes.values():
            totals.update(push.counters)
        return totals

    def _bury(self) -> None:
        """Fold processes that are gone into the kept totals, so that no counter goes back.

        One that was only silent comes back with all it ever counted: folded too early, that
        would be counted twice.
        """
        oldest_s = self._clock() - GONE_S
        for process, (heard_s, push) in list(self._pushes.items()):
            if heard_s < oldest_s:
                del self._pushes[process]
                self._gone.update(push.counters)
                pairs = zip(self._gone_latency, push.latency, strict=True)
                self._gone_latency = [a + b for a, b in pairs]
                self._gone_sum_ms += push.latency_sum_ms
