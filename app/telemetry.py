"""What a process counts about itself, and how it reaches the region's aggregator.

Counted by hand in plain dictionaries (an OpenTelemetry histogram record costs 6.6 us, this 0.7)
and pushed whole, as cumulative totals, in one datagram a second: a lost datagram costs nothing,
and nothing on the decision path waits for a collector.
"""

from __future__ import annotations

import bisect
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec

from fallback.events import BreakerChanged, Event, RungSkipped, RungTaken

__all__ = [
    "BOUNDS_MS",
    "GAPS",
    "Exposure",
    "Gauges",
    "Push",
    "Pusher",
    "Role",
    "Telemetry",
    "TierExposure",
]

# Upper bounds of the latency buckets, milliseconds; dense round the target and the hard stop.
BOUNDS_MS = (1, 2, 3, 5, 7.5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100, 150, 250, 500, 1_000)

# Upper bounds of how far two scores of one attempt are apart; none are further than 1.
GAPS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

Role = Literal["scorer", "shipper", "joiner", "applier"]

log = logging.getLogger(__name__)


class RungState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a rung can be served now, and if not, why."""

    available: bool
    why: str | None = None


class TierExposure(msgspec.Struct, frozen=True, kw_only=True):
    """What the lower rungs may approve at a tier, minor units of the reference currency.

    Attributes:
        budget: of the fleet, within any hour.
        share: of what is counted together: a host, or a worker that shares nothing.
        used: of the share, within the last hour.
        bound: the most that the fleet approves within any hour.
        instrument: the most for one instrument, by one host.
    """

    budget: int
    share: int
    used: int
    bound: int
    instrument: int


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """Stand-in exposure as one process sees it.

    Attributes:
        window_s: what budgets are of.
        hosts: of the fleet, as configured.
        shared: whether all workers of the host count together.
        weights: how much of an approved amount counts, by rung.
        tiers: those that have a budget.
    """

    window_s: int
    hosts: int
    shared: bool
    weights: dict[str, float]
    tiers: dict[str, TierExposure]


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand in one process now; a part that it has nothing of is empty.

    Attributes:
        rungs: by name, highest first.
        breakers: state by name.
        ages: seconds, by what ages ("counters:us-east-1", "snapshot").
        versions: of what is in force, by kind.
        refused: why the newest version of a kind is not in force.
        journal: whether records are being taken.
        numbers: other gauges, by the name of the metric without its `stepdown_`.
        errors: what went wrong last, by what it concerns; what is well again is left out.
        exposure: what the lower rungs may approve; None where they have no bound.
        sources: by region, why its counters are not read; None where they are.
    """

    rungs: dict[str, RungState] = {}
    breakers: dict[str, str] = {}
    ages: dict[str, float] = {}
    versions: dict[str, str] = {}
    refused: dict[str, str] = {}
    journal: bool = True
    numbers: dict[str, float] = {}
    errors: dict[str, str] = {}
    exposure: Exposure | None = None
    sources: dict[str, str | None] = {}


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """One datagram: everything a process has counted since it started.

    Attributes:
        process: tells processes apart, also those with the same pid one after the other.
        counters: (name, label values) joined by NUL, to total.
        latency: decisions by bucket of `BOUNDS_MS`, the last one open.
        latency_sum_ms: total.
        gauges: how things stand.
        role: what the process is.
    """

    process: str
    counters: dict[str, int]
    latency: list[int]
    latency_sum_ms: float
    gauges: Gauges
    role: Role = "scorer"


class Telemetry:
    """Counts in one process. Subscribes to the ladder's events."""

    def __init__(self, role: Role = "scorer") -> None:
        self.role = role
        self.process = f"{os.getpid()}-{time.time_ns():x}"
        self.counters: Counter[str] = Counter()
        self.latency = [0] * (len(BOUNDS_MS) + 1)
        self.latency_sum_ms = 0.0

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Add to a counter."""
        self.counters["\0".join((name, *labels))] += by

    def answered(self, rung: str, action: str, took_ms: float) -> None:
        """A decision went out."""
        self.counters[f"decisions\0{rung}\0{action}"] += 1
        self.latency[bisect.bisect_left(BOUNDS_MS, took_ms)] += 1
        self.latency_sum_ms += took_ms

    def differed(self, what: str, gap: float | None) -> None:
        """Two scores of an attempt are so far apart, in [0, 1]; None where there are not two."""
        if gap is not None:
            self.counters[f"score_gap\0{what}\0{bisect.bisect_left(GAPS, gap)}"] += 1
            self.counters[f"score_gap_millionths\0{what}"] += round(gap * 1e6)

    def on_event(self, event: Event) -> None:
        """Listen to the ladder and its breakers."""
        match event:
            case RungTaken():
                pass  # counted once the answer is out
            case RungSkipped():
                self.counters[f"rung_skipped\0{event.rung}\0{event.reason}"] += event.attempts
                if event.bug is not None:
                    self.count("bugs", event.rung)
                    log.error("bug on the %s rung", event.rung, exc_info=event.bug)
            case BreakerChanged():
                self.counters[f"breaker_changes\0{event.name}\0{event.to_state}"] += 1
                log.warning(
                    "breaker %s: %s -> %s (%s; %s)",
                    event.name,
                    event.from_state,
                    event.to_state,
                    event.reason,
                    event.counts,
                )

    def push(self, gauges: Gauges) -> Push:
        """What there is to tell."""
        return Push(
            process=self.process,
            counters=dict(self.counters),
            latency=list(self.latency),
            latency_sum_ms=self.latency_sum_ms,
            gauges=gauges,
            role=self.role,
        )


class Pusher:
    """Sends pushes to the aggregator; one that is away is not noticed."""

    def __init__(self, host: str, port: int, telemetry: Telemetry) -> None:
        self._address = (host, port)
        self._telemetry = telemetry
        self._socket = socket.socket(_family(host), socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._encoder = msgspec.msgpack.Encoder()

    def send(self, gauges: Callable[[], Gauges]) -> None:
        """Push once."""
        try:
            self._socket.sendto(self._encoder.encode(self._telemetry.push(gauges())), self._address)
        except OSError:
            self._telemetry.count("pushes_dropped")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
