"""Readiness: which rungs can be served, and the true reason why another cannot."""

from __future__ import annotations

import asyncio
import logging
import random
from types import SimpleNamespace

import pytest

from app.features.applier import Applied
from app.readiness import Holdings, Probes
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import ManualClock
from fallback.errors import DependencyTimeout, RungError
from fallback.pressure import Pressure

NOW_MS = 1_783_000_000_000
NAMES = ("source:us-east-1", "model:full", "model:batch")


def applied(as_of_ms):
    return Applied(generation="g", ready=True, as_of_ms=as_of_ms, positions={})


class FakeSource:
    """A datastore that answers, or fails."""

    def __init__(self, region="us-east-1"):
        self.region = region
        self.as_of_ms = [NOW_MS]
        self.error = None
        self.away = None

    async def fetch(self, names):
        if isinstance(self.error, RungError):
            return SimpleNamespace(shards=[self.error])
        if self.error is not None:
            raise self.error
        away = [self.away] if self.away is not None else []
        return SimpleNamespace(shards=[*map(applied, self.as_of_ms), *away])


class FakeHeld:
    """Something followed on disk."""

    def __init__(self, value="it", version="v1"):
        self.value, self.version = value, version
        self.refused = None
        self.changes = False

    def refresh(self):
        return self.changes


class Scorer:
    """Everything a scorer holds, as told."""

    def __init__(self, *others):
        clock = ManualClock()
        self.now_ms = NOW_MS
        self.source = FakeSource()
        self.others = [FakeSource(region) for region in others]
        self.probes = Probes([self.source, *self.others], now_ms=lambda: self.now_ms)
        self.breakers = {
            name: Breaker(name, BreakerPolicy(), clock=clock, rng=random.Random(7))
            for name in NAMES
        }
        self.artifact = SimpleNamespace(facts=SimpleNamespace(masked=["entities"]))
        self.rules = FakeHeld()
        self.snapshot = FakeHeld(SimpleNamespace(as_of_ms=NOW_MS - 3_600_000))
        self.recorder = SimpleNamespace(healthy=True, without_ring=None)
        self.holdings = Holdings(
            artifact=lambda: self.artifact,
            snapshot=self.snapshot,
            rules=lambda: self.rules.value,
            published={"snapshot": self.snapshot},
            files={"rules": self.rules},
            probes=self.probes,
            breakers=list(self.breakers.values()),
            recorder=self.recorder,
            pressure=Pressure(),
            stand_in=None,
            counters_age_max_ms=30_000,
            snapshot_age_max_ms=36 * 3_600_000,
            wall=lambda: self.now_ms / 1_000,
        )

    async def probe(self):
        running = asyncio.create_task(self.probes.run())
        for _ in range(3):
            await asyncio.sleep(0)
        running.cancel()

    def why(self):
        """Why each rung cannot be served; None where it can."""
        return {name: state.why for name, state in self.holdings.gauges().rungs.items()}


@pytest.fixture
async def scorer():
    scorer = Scorer()
    await scorer.probe()
    return scorer


async def test_in_good_health_every_rung_can_be_served(scorer):
    assert scorer.why() == {"full": None, "batch": None, "rules": None, "tier_default": None}


async def test_before_the_first_probe_the_counters_are_not_taken_for_granted():
    assert Scorer().why()["full"] == "source_unavailable"


async def test_a_source_that_does_not_answer_takes_the_full_rung_alone(scorer):
    scorer.source.error = DependencyTimeout("25 ms")
    await scorer.probe()
    assert scorer.why() == {"full": "timeout", "batch": None, "rules": None, "tier_default": None}
    scorer.source.error = None
    await scorer.probe()
    assert scorer.why()["full"] is None


async def test_a_model_that_knows_it_goes_on_without_one_region_of_three_but_not_without_two():
    scorer = Scorer("eu-west-1", "ap-southeast-1")
    scorer.others[0].error = DependencyTimeout("25 ms")
    await scorer.probe()
    assert scorer.why()["full"] == "timeout"
    scorer.artifact.facts.masked.append("regions")
    assert scorer.why()["full"] is None
    scorer.others[1].error = DependencyTimeout("25 ms")
    await scorer.probe()
    assert scorer.why()["full"] == "timeout"


async def test_a_probe_that_finds_a_bug_says_so_and_goes_on(scorer, caplog):
    scorer.source.error = KeyError("applied")
    with caplog.at_level(logging.ERROR):
        await scorer.probe()
    assert scorer.why()["full"] == "bug"
    assert "probe of us-east-1" in caplog.text


async def test_one_shard_that_is_away_is_the_reason_and_the_others_still_have_an_age(scorer):
    scorer.source.away = DependencyTimeout("25 ms")
    await scorer.probe()
    assert scorer.why()["full"] == "timeout"
    assert scorer.probes.ages_ms() == {"us-east-1": 0}


async def test_the_age_of_counters_is_that_of_the_oldest_shard(scorer):
    scorer.source.as_of_ms = [NOW_MS - 50, NOW_MS - 400]
    await scorer.probe()
    assert scorer.holdings.gauges().ages["counters:us-east-1"] == 0.4


async def test_counters_of_a_source_that_is_away_grow_older(scorer):
    scorer.source.error = DependencyTimeout("25 ms")
    scorer.now_ms += 12_000
    await scorer.probe()
    assert scorer.holdings.gauges().ages["counters:us-east-1"] == 12.0


async def test_a_store_whose_clock_runs_ahead_has_no_negative_age(scorer):
    scorer.source.as_of_ms = [NOW_MS + 5]
    await scorer.probe()
    assert scorer.holdings.gauges().ages["counters:us-east-1"] == 0.0


async def test_stale_counters_take_the_full_rung_alone(scorer):
    scorer.now_ms += 30_001
    why = scorer.why()
    assert (why["full"], why["batch"]) == ("features_stale", None)


@pytest.mark.parametrize(
    ("name", "rungs"),
    [
        ("source:us-east-1", {"full"}),
        ("model:full", {"full"}),
        ("model:batch", {"batch"}),
    ],
)
async def test_an_open_breaker_takes_the_rungs_that_need_what_it_guards(scorer, name, rungs):
    scorer.breakers[name].isolate()
    why = scorer.why()
    assert {rung for rung, reason in why.items() if reason == "breaker_open"} == rungs
    assert scorer.holdings.gauges().breakers[name] == "isolated"


async def test_without_a_model_both_scored_rungs_are_gone(scorer):
    scorer.artifact = None
    why = scorer.why()
    assert why["full"] == why["batch"] == "model_unavailable"
    assert why["rules"] is None


async def test_without_a_snapshot_both_scored_rungs_are_gone(scorer):
    scorer.snapshot.value = None
    why = scorer.why()
    assert why["full"] == why["batch"] == "snapshot_unavailable"
    assert "snapshot" not in scorer.holdings.gauges().ages


async def test_a_snapshot_past_its_age_takes_both_scored_rungs(scorer):
    scorer.snapshot.value.as_of_ms = NOW_MS - 36 * 3_600_000 - 1
    why = scorer.why()
    assert why["full"] == why["batch"] == "features_stale"


async def test_without_rules_the_last_rung_is_left(scorer):
    scorer.rules.value = None
    why = scorer.why()
    assert (why["rules"], why["tier_default"]) == ("rules_unavailable", None)


async def test_the_gauges_name_versions_refusals_and_the_journal(scorer):
    scorer.rules.refused = "line 3"
    scorer.recorder.healthy = False
    gauges = scorer.holdings.gauges()
    assert gauges.versions == {"snapshot": "v1"}
    assert gauges.refused == {"rules": "line 3"}
    assert gauges.journal is False
    assert gauges.ages["snapshot"] == 3_600.0


async def test_a_journal_whose_appends_wait_for_the_disk_is_told_with_the_reason(scorer):
    assert scorer.holdings.gauges().numbers["journal_without_ring"] == 0
    scorer.recorder.without_ring = "no ring: memory is full"
    gauges = scorer.holdings.gauges()
    assert gauges.numbers["journal_without_ring"] == 1
    assert gauges.errors == {"journal": "no ring: memory is full"}


@pytest.mark.parametrize(
    ("refused", "said"), [(None, "rules: in force"), ("line 3", "rules: refused")]
)
async def test_what_changes_on_disk_is_logged_either_way(scorer, caplog, refused, said):
    scorer.rules.changes, scorer.rules.refused = True, refused
    with caplog.at_level(logging.INFO):
        scorer.holdings.refresh()
    assert said in caplog.text


async def test_every_source_is_told_with_the_reason_why_it_is_not_read():
    scorer = Scorer("eu-west-1", "ap-southeast-1")
    scorer.others[0].as_of_ms = [NOW_MS - 30_001]
    scorer.others[1].error = DependencyTimeout("late", dependency="ap-southeast-1")
    await scorer.probe()
    assert scorer.holdings.gauges().sources == {
        "us-east-1": None,
        "eu-west-1": "features_stale",
        "ap-southeast-1": "timeout",
    }
