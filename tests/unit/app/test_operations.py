"""The region's aggregator: totals that never go back, and the state of the scorers that live."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.operations.aggregator import GONE_S, SILENT_S, Aggregator
from app.telemetry import BOUNDS_MS, Exposure, Gauges, Push, RungState, TierExposure
from fallback.clock import ManualClock

UP, DOWN = RungState(available=True), RungState(available=False, why="breaker_open")


def gauges(**changes):
    return Gauges(
        **{
            "rungs": {"full": UP, "batch": UP},
            "breakers": {"model:full": "closed"},
            "ages": {"snapshot": 10.0},
            "versions": {"model": "m1"},
            "refused": {},
            "journal": True,
            **changes,
        }
    )


class Region:
    """An aggregator and the scorers that push to it."""

    def __init__(self):
        self.clock = ManualClock()
        self.aggregator = Aggregator(self.clock.monotonic)
        self._registry = CollectorRegistry()
        self._registry.register(self.aggregator)

    def push(self, process, decisions=0, latency=None, **changes):
        push = Push(
            process=process,
            counters={"decisions\0full\0approve": decisions},
            latency=latency or [decisions, *[0] * len(BOUNDS_MS)],
            latency_sum_ms=2.0 * decisions,
            gauges=gauges(**changes),
        )
        self.datagram(msgspec.msgpack.encode(push))

    def datagram(self, data):
        self.aggregator.datagram_received(data, ("127.0.0.1", 1))

    def metric(self, series):
        lines = generate_latest(self._registry).decode().splitlines()
        found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series + " ")]
        return found[0] if found else None

    def decisions(self):
        return self.metric('stepdown_decisions_total{action="approve",rung="full"}')


@pytest.fixture
def region():
    return Region()


def test_totals_are_the_sum_over_the_scorers(region):
    region.push("a", 3)
    region.push("b", 4)
    assert region.decisions() == 7
    assert region.metric("stepdown_decision_milliseconds_count") == 7
    assert region.metric("stepdown_decision_milliseconds_sum") == 14


def test_a_later_push_of_a_scorer_replaces_the_one_before(region):
    region.push("a", 3)
    region.push("a", 5)
    assert region.decisions() == 5


def test_buckets_are_cumulative_and_end_with_everything(region):
    region.push("a", 3, latency=[1, 1, *[0] * (len(BOUNDS_MS) - 2), 1])
    series = "stepdown_decision_milliseconds_bucket"
    counts = [region.metric(f'{series}{{le="{bound}"}}') for bound in ("1", "2", "1000", "+Inf")]
    assert counts == [1, 2, 2, 3]


@pytest.mark.parametrize("silent_s", [SILENT_S + 1, GONE_S + 1])
def test_a_scorer_that_is_gone_keeps_what_it_counted(region, silent_s):
    region.push("a", 3)
    region.clock.advance(silent_s)
    region.push("b", 4)
    for _ in range(2):
        assert region.decisions() == 7
    assert region.metric("stepdown_decision_milliseconds_sum") == 14
    assert region.metric("stepdown_scorers") == 1


def test_a_scorer_that_was_only_silent_is_not_counted_twice(region):
    region.push("a", 3)
    region.clock.advance(SILENT_S + 1)
    assert region.decisions() == 3
    region.push("a", 4)
    assert region.decisions() == 4


def test_without_a_scorer_the_region_is_not_ready(region):
    assert region.aggregator.readiness()["ready"] is False
    region.push("a")
    assert region.aggregator.readiness()["ready"] is True
    region.clock.advance(SILENT_S + 1)
    assert region.aggregator.readiness()["ready"] is False


def test_a_rung_can_be_served_if_any_scorer_can(region):
    region.push("a", rungs={"full": DOWN, "batch": DOWN})
    region.push("b", rungs={"full": UP, "batch": DOWN})
    rungs = region.aggregator.readiness()["rungs"]
    assert rungs["full"] == {"available": True, "why": None}
    assert rungs["batch"] == {"available": False, "why": "breaker_open"}
    assert region.metric('stepdown_rung_available{rung="full"}') == 1
    assert region.metric('stepdown_rung_available{rung="batch"}') == 0


def test_the_oldest_age_and_the_worst_breaker_stand_for_the_region(region):
    region.push("a", ages={"snapshot": 10.0}, breakers={"model:full": "open"})
    region.push("b", ages={"snapshot": 30.0}, breakers={"model:full": "closed"})
    assert region.metric('stepdown_age_seconds{what="snapshot"}') == 30
    assert region.metric('stepdown_breaker_closed{breaker="model:full"}') == 0


def exposure(used, *, shared):
    tier = TierExposure(budget=1_000, share=500, used=used, bound=1_000, instrument=50)
    return Exposure(
        window_s=3_600, hosts=2, shared=shared, weights={"rules": 1.0}, tiers={"standard": tier}
    )


def test_workers_that_share_a_ledger_have_used_what_it_holds(region):
    region.push("a", exposure=exposure(300, shared=True))
    region.push("b", exposure=exposure(300, shared=True))
    assert region.metric('stepdown_exposure_used{tier="standard"}') == 300
    assert region.metric('stepdown_exposure_share{tier="standard"}') == 500
    assert region.metric('stepdown_exposure_bound{tier="standard"}') == 1_000


def test_workers_that_share_nothing_have_used_the_sum_and_say_so(region):
    region.push("a", exposure=exposure(300, shared=False))
    region.push("b", exposure=exposure(40, shared=False))
    said = region.aggregator.readiness()["exposure"]
    assert (said["shared"], said["tiers"]["standard"]["used"]) == (False, 340)


def test_a_region_without_a_bound_shows_no_exposure(region):
    region.push("a")
    assert region.aggregator.readiness()["exposure"] is None
    assert region.metric('stepdown_exposure_used{tier="standard"}') is None


def test_one_scorer_without_a_journal_is_told(region):
    region.push("a", journal=True)
    region.push("b", journal=False, refused={"rules": "line 3"})
    readiness = region.aggregator.readiness()
    assert readiness["journal"] is False
    assert readiness["refused"] == {"rules": "line 3"}


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, msgspec.msgpack.encode({"process": "a"})])
def test_a_datagram_that_cannot_be_read_is_counted_and_harms_nothing(region, data):
    region.push("a", 3)
    region.datagram(data)
    assert region.metric("stepdown_pushes_unreadable_total") == 1
    assert region.decisions() == 3


def test_a_push_with_other_buckets_is_not_mixed_in(region):
    region.push("a", 3, latency=[1, 2])
    assert region.metric("stepdown_pushes_unreadable_total") == 1
    assert region.decisions() is None


def test_a_counter_that_is_not_known_is_left_out(region):
    push = Push(
        process="a",
        counters={"of_a_later_release": 1},
        latency=[0] * (len(BOUNDS_MS) + 1),
        latency_sum_ms=0.0,
        gauges=gauges(),
    )
    region.datagram(msgspec.msgpack.encode(push))
    assert region.metric("stepdown_of_a_later_release_total") is None
    assert region.metric("stepdown_scorers") == 1


def test_a_shipper_shows_its_numbers_breakers_and_errors_and_is_no_scorer(region):
    push = Push(
        process="s",
        counters={"shipper_failures\0shipper:stream": 4},
        latency=[0] * (len(BOUNDS_MS) + 1),
        latency_sum_ms=0.0,
        gauges=Gauges(
            breakers={"shipper:stream": "open"},
            numbers={"shipper_backlog_events": 12.0, "of_a_later_release": 1.0},
            errors={"shipper:stream": "refused"},
        ),
        role="shipper",
    )
    region.datagram(msgspec.msgpack.encode(push))
    said = region.aggregator.readiness()
    assert (said["ready"], said["scorers"]) == (False, 0)
    assert said["errors"] == {"shipper:stream": "refused"}
    assert region.metric("stepdown_shipper_backlog_events") == 12
    assert region.metric('stepdown_breaker_closed{breaker="shipper:stream"}') == 0
    assert region.metric('stepdown_shipper_failures_total{target="shipper:stream"}') == 4


def test_a_source_that_one_scorer_cannot_read_is_told_with_its_reason(region):
    region.push("a", sources={"us-east-1": None, "eu-west-1": "features_stale"})
    region.push("b", sources={"us-east-1": None, "eu-west-1": None})
    assert region.aggregator.readiness()["sources"] == {
        "us-east-1": None,
        "eu-west-1": "features_stale",
    }
    assert region.metric('stepdown_source_available{region="eu-west-1"}') == 0
    assert region.metric('stepdown_source_available{region="us-east-1"}') == 1
