"""Facts from an operations listener, rates over them, and the table of all regions."""

from __future__ import annotations

import io

from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from app.operations.aggregator import Aggregator
from app.telemetry import BOUNDS_MS, Gauges, Push, RungState
from regions.operations.facts import ABSENT, facts_of
from regions.operations.status import status_of, status_table
from regions.operations.watch import RATE_S, Rates


class Listener(Aggregator):
    """The region's real aggregator, told without a socket."""

    def told(self, **counters):
        push = Push(
            process="scorer-1",
            counters={name.replace("__", "\0"): count for name, count in counters.items()},
            latency=[0] * (len(BOUNDS_MS) + 1),
            latency_sum_ms=0.0,
            gauges=Gauges(
                rungs={"full": RungState(available=False, why="timeout")},
                ages={"counters:us-east-1": 1.5},
                numbers={"pressure_depth": 0.25},
            ),
        )
        self._pushes[push.process] = (self._clock(), push)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return facts_of(self.readiness(), generate_latest(registry).decode())


def test_facts_are_what_the_regions_own_listener_says():
    facts = Listener().told(
        decisions__full__approve=7,
        decisions__full__decline=2,
        decisions__batch__approve=1,
        bugs__ladder=3,
        journal_missing=4,
        requests_refused__422=50,
        requests_refused__503=5,
    )
    assert facts.by_rung == {"full": 9, "batch": 1}
    assert facts.answered == 10
    assert facts.errors == 12
    assert facts.rungs == {"full": False}
    assert facts.ages == {"counters:us-east-1": 1.5}
    assert (facts.scorers, facts.pressure, facts.reachable) == (1, 0.25, True)


def test_a_rate_is_of_the_last_seconds_alone():
    rates = Rates()
    assert rates.told(0.0, 0) is None
    assert rates.told(RATE_S / 2, 500) is None
    assert rates.told(RATE_S, 600) == 600 / RATE_S
    assert rates.told(4 * RATE_S, 600) < 600 / RATE_S / 2
    assert rates.told(5 * RATE_S, 600) == 0


def test_a_region_that_begins_anew_is_counted_anew():
    rates = Rates()
    rates.told(0.0, 5_000)
    assert rates.told(RATE_S, 30) is None
    assert rates.told(2 * RATE_S, 60) == 30 / RATE_S


def test_the_status_says_how_each_region_stands(world):
    world.watch.set_weight("us-east-1", 0)
    world.set_out("us-east-1")
    world.now_s += 60
    world.facts["ap-southeast-1"] = ABSENT
    found = {one.region: one for one in status_of(world.watch)}
    evacuated, well, away = (found[one] for one in ("us-east-1", "eu-west-1", "ap-southeast-1"))
    assert (evacuated.health, evacuated.out, evacuated.weight) == ("unhealthy", True, 0)
    assert evacuated.answer == "eu-west-1"
    assert (well.health, well.out, well.weight, well.answer) == ("healthy", False, 100, "eu-west-1")
    assert well.rate == 10.0
    assert (away.reachable, away.scorers, away.rate) == (False, 0, 0.0)
    assert [one.well for one in (evacuated, well, away)] == [False, True, False]


def test_a_status_without_anybody_who_tells_health_says_unknown(world):
    world.blind = True
    one = status_of(world.watch)[0]
    assert (one.health, one.endpoint, one.answer, one.well) == ("unknown", None, None, False)


def test_the_table_fits_eighty_columns_and_names_each_region(world):
    screen = Console(width=80, file=io.StringIO())
    screen.print(status_table(status_of(world.watch)))
    text = screen.file.getvalue()
    for word in ("us-east-1", "ap-southeast-1", "healthy", "in", "100", "full", "0.4 s", "10.0"):
        assert word in text
