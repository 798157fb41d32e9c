"""The region's operations listener: processes push here, people and machines look here.

`/metrics` for Prometheus, `/readyz` for the region as a whole, `/livez` for this process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import cast

import msgspec
import uvicorn
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app.agreement import agreement, gap_histogram
from app.settings import ScorerSettings, load
from app.telemetry import BOUNDS_MS, Exposure, Push, RungState

__all__ = ["Aggregator", "create_app"]

# A scorer pushes every second; one that was not heard of for this long is not counted on.
SILENT_S = 5.0
# By then a scorer that hung has been replaced, so that its totals can be folded for good.
GONE_S = 3_600.0

# Help of each further gauge.
NUMBERS: dict[str, str] = {
    "shipper_backlog_events": "Events journaled and not on the stream, estimated from the bytes.",
    "shipper_backlog_bytes": "Bytes journaled and not on the stream.",
    "shipper_backlog_seconds": "Since the stream had everything.",
    "shipper_waiting_segments": "Closed journal segments not yet in object storage.",
    "shipper_waiting_bytes": "Bytes of them.",
    "joiner_attempts": "Attempts that outcomes and labels can be joined with.",
    "joiner_waiting": "Outcomes and labels that wait for their decision.",
    "joiner_lag_ms": "How far behind the journals the joiner is.",
    "pressure_depth": "Rungs that requests start below the top, on average, for want of time.",
    "shipper_left_segments": "Closed journal segments that somebody has to look at.",
}

# Help of the gauges of stand-in exposure; all in minor units of the reference currency.
EXPOSURE = {
    "bound": "The most that the fleet's lower rungs approve within any hour.",
    "share": "What one host's lower rungs may approve of it.",
    "used": "What this host's lower rungs approved within the last hour.",
}

# Label names and help of each counter that is pushed.
COUNTERS: dict[str, tuple[tuple[str, ...], str]] = {
    "decisions": (("rung", "action"), "Decisions answered."),
    "rung_skipped": (("rung", "reason"), "Attempts that a rung could not take, by reason."),
    "breaker_changes": (("breaker", "to"), "Breaker transitions."),
    "requests_refused": (("status",), "Requests answered with a problem document."),
    "bugs": (("where",), "Exceptions that nobody expected; each one deserves a page."),
    "stand_in_withheld": (("why",), "Approvals of lower rungs withheld, by what had no room."),
    "client_defaults": (("action",), "Attempts that clients decided by themselves, posted back."),
    "claims": (("state",), "Attempt ids that were not simply new."),
    "journal_records": ((), "Decisions recorded in the journal."),
    "journal_missing": ((), "Decisions answered without a record."),
    "shipper_events": ((), "Events published on the region's stream."),
    "shipper_segments": ((), "Journal segments brought to object storage."),
    "shipper_failures": (("target",), "Calls of the shipper that a target did not carry out."),
    "joiner_decisions": ((), "Decisions that outcomes and labels can be joined with."),
    "joiner_effects": ((), "Effects of outcomes and labels, written to be counted."),
    "joiner_joined": (("what",), "Outcomes and labels joined with their decisions."),
    "joiner_unjoined": (("what",), "Outcomes and labels whose decision was not found."),
    "joiner_elsewhere": ((), "Outcomes and labels of other regions' decisions."),
    "joiner_unreadable": ((), "Events that the joiner passed over, since they do not read."),
    "joiner_pruned": ((), "Attempts forgotten, since they are old or too many."),
    "applier_events": ((), "Events taken from the region's stream."),
    "events_ahead": ((), "Events more than 5 minutes ahead of the applier's clock."),
    "events_late": ((), "Events older than every window, and so not counted."),
    "events_unreadable": ((), "Events that the applier passed over, since they do not read."),
    "values_unreadable": ((), "Counters begun anew, since they did not read."),
    "stream_gaps": ((), "Holes in the stream that were gone over by the journals."),
    "spans_exported": ((), "Spans of decisions that the collector took."),
    "spans_dropped": ((), "Spans of decisions that it did not, or that found the queue full."),
    "agreement": (
        ("rung", "answered", "live", "background"),
        "Actions of a lower rung on attempts that a higher one answered, beside the live ones.",
    ),
    "shadow": (
        ("version", "rung", "live", "shadow"),
        "Actions of a model in shadow, beside the live ones.",
    ),
    "background_dropped": (("work", "why"), "Background work not done, for want of room or time."),
    "background_skipped": (("rung", "reason"), "Background assessments that a rung could not do."),
    "pushes_dropped": ((), "Telemetry datagrams that could not be sent."),
}


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
        live = self.live()
        scorers = [push.gauges for push in live if push.role == "scorer"]
        rungs: dict[str, RungState] = {}
        ages: dict[str, float] = {}
        refused: dict[str, str] = {}
        versions: dict[str, str] = {}
        for gauges in scorers:
            for name, state in gauges.rungs.items():
                if name not in rungs or (state.available and not rungs[name].available):
                    rungs[name] = state
            for name, age in gauges.ages.items():
                ages[name] = max(age, ages.get(name, 0.0))
            refused.update(gauges.refused)
            versions.update(gauges.versions)
        return {
            "ready": bool(scorers),
            "scorers": len(scorers),
            "rungs": msgspec.to_builtins(rungs),
            "breakers": _worst(push.gauges.breakers for push in live),
            "sources": _whys(gauges.sources for gauges in scorers),
            "ages": ages,
            "versions": versions,
            "refused": refused,
            "journal": all(gauges.journal for gauges in scorers),
            "numbers": _largest(push.gauges.numbers for push in live),
            "errors": {k: v for push in live for k, v in push.gauges.errors.items()},
            "exposure": msgspec.to_builtins(_exposed(gauges.exposure for gauges in scorers)),
            "agreement": agreement(self._totals(), versions.get("shadow")),
        }

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets."""
        readiness = self.readiness()
        totals = self._totals()
        latency, sum_ms = list(self._gone_latency), self._gone_sum_ms
        for _, push in self._pushes.values():
            latency = [a + b for a, b in zip(latency, push.latency, strict=True)]
            sum_ms += push.latency_sum_ms
        yield from _counters(totals)
        yield _histogram(latency, sum_ms)
        yield gap_histogram(totals)
        yield GaugeMetricFamily(
            "stepdown_scorers", "Scorers heard of lately.", cast("int", readiness["scorers"])
        )
        yield CounterMetricFamily(
            "stepdown_pushes_unreadable", "Telemetry datagrams not understood.", self.unreadable
        )
        yield from _gauges(readiness)

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


def create_app(aggregator: Aggregator, *, host: str, port: int) -> FastAPI:
    """The listener's app; receives pushes on the UDP port of the same number."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(aggregator)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        transport, _protocol = await loop.create_datagram_endpoint(
            lambda: aggregator, local_addr=(host, port)
        )
        yield
        transport.close()

    app = FastAPI(title="Stepdown operations", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.get("/livez")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> Response:
        readiness = aggregator.readiness()
        return Response(
            msgspec.json.encode(readiness),
            status_code=200 if readiness["ready"] else 503,
            media_type="application/json",
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    return app


def _counters(totals: Counter[str]) -> Iterable[Metric]:
    families = {
        name: CounterMetricFamily(f"stepdown_{name}", text, labels=labels)
        for name, (labels, text) in COUNTERS.items()
    }
    for key, total in sorted(totals.items()):
        name, *values = key.split("\0")
        if name in families:
            families[name].add_metric(values, total)
    return families.values()


def _histogram(latency: list[int], sum_ms: float) -> Metric:
    running, buckets = 0, []
    for bound, count in zip((*BOUNDS_MS, float("inf")), latency, strict=True):
        running += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(running)))
    family = HistogramMetricFamily(
        "stepdown_decision_milliseconds", "From the headers of an attempt to its answer."
    )
    family.add_metric([], buckets, sum_ms)
    return family


def _gauges(readiness: dict[str, object]) -> Iterable[Metric]:
    rungs = readiness["rungs"]
    ages = readiness["ages"]
    breakers = readiness["breakers"]
    sources = readiness["sources"]
    assert isinstance(rungs, dict)
    assert isinstance(sources, dict)
    assert isinstance(ages, dict)
    assert isinstance(breakers, dict)
    available = GaugeMetricFamily(
        "stepdown_rung_available", "1 if any scorer can serve the rung.", labels=("rung",)
    )
    for name, state in rungs.items():
        available.add_metric([name], float(state["available"]))
    age = GaugeMetricFamily("stepdown_age_seconds", "Age of what ages.", labels=("what",))
    for name, seconds in ages.items():
        age.add_metric([name], seconds)
    closed = GaugeMetricFamily(
        "stepdown_breaker_closed", "1 if closed in every process.", labels=("breaker",)
    )
    for name, state in breakers.items():
        closed.add_metric([name], float(state == "closed"))
    source = GaugeMetricFamily(
        "stepdown_source_available", "1 if every scorer reads the counters.", labels=("region",)
    )
    for name, why in sources.items():
        source.add_metric([name], float(why is None))
    numbers = readiness["numbers"]
    assert isinstance(numbers, dict)
    others = [
        GaugeMetricFamily(f"stepdown_{name}", NUMBERS[name], value)
        for name, value in numbers.items()
        if name in NUMBERS
    ]
    return available, age, closed, source, *others, *_exposure_gauges(readiness["exposure"])


def _exposure_gauges(exposure: object) -> Iterable[Metric]:
    """What the lower rungs may approve; nothing where they have no bound."""
    tiers = exposure["tiers"] if isinstance(exposure, dict) else {}
    for name, text in EXPOSURE.items():
        family = GaugeMetricFamily(f"stepdown_exposure_{name}", text, labels=("tier",))
        for tier, facts in tiers.items():
            family.add_metric([tier], facts[name])
        yield family


def _exposed(told: Iterable[Exposure | None]) -> Exposure | None:
    """The host's exposure: what its workers share, or all that those count who share nothing."""
    known = [exposure for exposure in told if exposure is not None]
    if not known:
        return None
    alone = [exposure for exposure in known if not exposure.shared]
    if not alone:
        return known[0]
    tiers = {
        name: msgspec.structs.replace(
            tier, used=sum(one.tiers[name].used for one in alone if name in one.tiers)
        )
        for name, tier in alone[0].tiers.items()
    }
    return msgspec.structs.replace(alone[0], tiers=tiers)


def _largest(numbers: Iterable[dict[str, float]]) -> dict[str, float]:
    """The largest value that any process has of each gauge."""
    largest: dict[str, float] = {}
    for told in numbers:
        for name, value in told.items():
            largest[name] = max(value, largest.get(name, value))
    return largest


def _worst(breakers: Iterable[dict[str, str]]) -> dict[str, str]:
    """Each breaker's state, any that is not closed before closed."""
    worst: dict[str, str] = {}
    for states in breakers:
        for name, state in states.items():
            if worst.get(name, "closed") == "closed":
                worst[name] = state
    return worst


def _whys(sources: Iterable[dict[str, str | None]]) -> dict[str, str | None]:
    """Why each region's counters are not read by some scorer; None where all do."""
    whys: dict[str, str | None] = {}
    for told in sources:
        for region, why in told.items():
            whys[region] = whys.get(region) or why
    return whys


def serve(settings: ScorerSettings) -> None:
    """Listen until told to stop."""
    app = create_app(Aggregator(), host=settings.api_host, port=settings.operations_port)
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.operations_port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    serve(load())
