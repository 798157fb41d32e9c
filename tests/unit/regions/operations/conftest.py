"""Regions of the mind: routing and facts that a test sets, time that passes by sleeping."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from app.weights import WeightsError
from regions.operations.engine import Runner
from regions.operations.facts import ABSENT, RegionFacts
from regions.operations.watch import Watch
from regions.routing.interface import RegionHealth, RoutingUnavailable, nearest
from regions.topology import load_topology

TOPOLOGY = load_topology()
REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")
CHECK_S = 20.0
WELL = RegionFacts(
    reachable=True,
    scorers=2,
    rungs={"full": True, "batch": True},
    ages={f"counters:{region}": 0.4 for region in REGIONS},
)


@dataclass
class World:
    """Implements `Router`; checkers see a switch after `CHECK_S`."""

    home: Path
    now_s: float = 1_000.0
    facts: dict = field(default_factory=lambda: dict.fromkeys(REGIONS, WELL))
    rates: dict = field(default_factory=lambda: dict.fromkeys(REGIONS, 10.0))
    down: set = field(default_factory=set)
    out_since_s: dict = field(default_factory=dict)
    blind: bool = False
    stubborn: bool = False
    done: list = field(default_factory=list)
    on_weight: dict = field(default_factory=dict)

    @property
    def watch(self):
        return Watch(
            home=self.home,
            regions=REGIONS,
            router=self,
            read=self.read,
            monotonic=lambda: self.now_s,
            sleep=self.sleep,
            wall=lambda: datetime(2026, 11, 22, tzinfo=UTC),
        )

    def runner(self, **options):
        unknown = (RoutingUnavailable, WeightsError)
        return Runner(monotonic=lambda: self.now_s, sleep=self.sleep, unknown=unknown, **options)

    def sleep(self, seconds):
        self.now_s += seconds
        for region, facts in self.facts.items():
            if facts is ABSENT or (self.out(region) and not self.stubborn):
                continue
            more = round(self.rates[region] * self.now_s) - round(
                self.rates[region] * (self.now_s - seconds)
            )
            by_rung = {**facts.by_rung, "full": facts.by_rung.get("full", 0) + more}
            self.facts[region] = msgspec.structs.replace(facts, by_rung=by_rung)

    def read(self, region):
        return self.facts[region]

    def out(self, region):
        return self.now_s - self.out_since_s.get(region, self.now_s) >= CHECK_S

    def records(self):
        return []

    def health(self):
        if self.blind:
            raise RoutingUnavailable("nobody answers")
        return {
            region: RegionHealth(
                endpoint=region not in self.down,
                switch=not self.out(region),
                healthy=region not in self.down and not self.out(region),
            )
            for region in REGIONS
        }

    def is_out(self, region):
        return region in self.out_since_s

    def set_out(self, region):
        self.done.append(f"out {region}")
        self.out_since_s.setdefault(region, self.now_s)

    def set_in(self, region):
        self.done.append(f"in {region}")
        self.out_since_s.pop(region, None)

    def answer_for(self, client_region):
        healthy = {region: one.healthy for region, one in self.health().items()}
        return nearest(client_region, healthy, TOPOLOGY.round_trip_ms)

    def run(self, operation, **options):
        """What became of each step."""
        outcomes = list(self.runner(**options).run(operation.steps()))
        return {one.step: one.result for one in outcomes}, outcomes[-1]


@pytest.fixture
def world(tmp_path):
    """Three regions that are well and answer ten decisions a second each."""
    return World(tmp_path)


@pytest.fixture
def round_trips():
    """Round trips by pair."""
    return {
        (one, other): TOPOLOGY.round_trip_ms(one, other) for one in REGIONS for other in REGIONS
    }
