"""The region's totals and readiness as Prometheus has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from app.telemetry import BOUNDS_MS

__all__ = ["counters", "gauges", "histogram"]

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
    "pressure_depth": "Share of requests that start from the last rung, for want of time.",
    "journal_without_ring": "1 if a scorer's appends wait for the disk, for want of shared memory.",
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


def counters(totals: Counter[str]) -> Iterable[Metric]:
    """A family for each counter; one that is not known is left out."""
    families = {
        name: CounterMetricFamily(f"stepdown_{name}", text, labels=labels)
        for name, (labels, text) in COUNTERS.items()
    }
    for key, total in sorted(totals.items()):
        name, *values = key.split("\0")
        if name in families:
            families[name].add_metric(values, total)
    return families.values()


def histogram(latency: list[int], sum_ms: float) -> Metric:
    """Latency of decisions.

    Args:
        latency: decisions by bucket: one for each bound of `BOUNDS_MS`, and one above.
        sum_ms: of all of them.
    """
    running, buckets = 0, []
    for bound, count in zip((*BOUNDS_MS, float("inf")), latency, strict=True):
        running += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(running)))
    family = HistogramMetricFamily(
        "stepdown_decision_milliseconds", "From the headers of an attempt to its answer."
    )
    family.add_metric([], buckets, sum_ms)
    return family


def gauges(readiness: dict[str, object]) -> Iterable[Metric]:
    """How the region stands, from its readiness."""
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
