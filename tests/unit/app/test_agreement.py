"""How often lower rungs and a shadow decide as live, from the counters of all processes."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from app.agreement import agreement
from app.operations.aggregator import Aggregator
from app.telemetry import Gauges, Telemetry


def counted(**totals):
    """Counters by "name/label/label"."""
    return {key.replace("/", "\0"): total for key, total in totals.items()}


def test_agreement_is_the_share_of_the_same_action():
    totals = counted(**{
        "agreement/batch/full/approve/approve": 7,
        "agreement/batch/full/approve/decline": 2,
        "agreement/batch/full/step_up/step_up": 1,
        "agreement/rules/full/decline/approve": 3,
    })  # fmt: skip
    assert agreement(totals, None) == {
        "batch": {"compared": 10, "share": 0.8},
        "rules": {"compared": 3, "share": 0.0},
    }


def test_agreement_with_another_rung_than_full_is_another_matter():
    assert agreement(counted(**{"agreement/rules/batch/approve/approve": 5}), None) == {}


def test_a_shadow_is_told_apart_from_the_versions_before_it():
    totals = counted(**{
        "shadow/v1/full/approve/approve": 9,
        "shadow/v2/full/approve/decline": 1,
        "shadow/v2/batch/approve/approve": 3,
    })  # fmt: skip
    assert agreement(totals, "v2") == {"shadow": {"compared": 4, "share": 0.75}}
    assert agreement(totals, None) == {}


class Region:
    """An aggregator that one process pushed to."""

    def __init__(self, telemetry, **gauges):
        self.aggregator = Aggregator()
        push = telemetry.push(Gauges(**gauges))
        self.aggregator.datagram_received(msgspec.msgpack.encode(push), ("127.0.0.1", 1))

    def series(self):
        registry = CollectorRegistry()
        registry.register(self.aggregator)
        lines = generate_latest(registry).decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def test_score_gaps_are_a_histogram_by_what_scored():
    telemetry = Telemetry()
    for gap in (0.0005, 0.02, 0.02, 0.9):
        telemetry.differed("batch", gap)
    telemetry.differed("rules", None)
    series = Region(telemetry).series()
    assert series['stepdown_score_gap_bucket{le="0.001",of="batch"}'] == 1
    assert series['stepdown_score_gap_bucket{le="0.03",of="batch"}'] == 3
    assert series['stepdown_score_gap_bucket{le="+Inf",of="batch"}'] == 4
    assert series['stepdown_score_gap_sum{of="batch"}'] == pytest.approx(0.9405)
    assert not any('of="rules"' in name for name in series)


def test_a_region_says_how_its_rungs_agree_and_counts_them_by_action():
    telemetry = Telemetry()
    telemetry.count("agreement", "batch", "full", "approve", "decline", by=2)
    telemetry.count("shadow", "v2", "full", "approve", "approve")
    region = Region(telemetry, versions={"shadow": "v2"})
    assert region.aggregator.readiness()["agreement"] == {
        "batch": {"compared": 2, "share": 0.0},
        "shadow": {"compared": 1, "share": 1.0},
    }
    labels = 'answered="full",background="decline",live="approve",rung="batch"'
    assert region.series()[f"stepdown_agreement_total{{{labels}}}"] == 2
