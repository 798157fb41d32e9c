"""What the spread drill makes of what it saw."""

from __future__ import annotations

import pytest
from rich.console import Console

from chaos.spread import Spread
from chaos.spread_table import spread_found, spread_table
from regions.topology import load_topology
from regions.world.network import links_of
from regions.world.plan import Plan
from regions.world.settings import WorldSettings


def spread(*, attempts=200, seen=200, p99=120.0):
    return Spread(
        decided_in="us-east-1",
        read_in="eu-west-1",
        attempts=attempts,
        seen=seen,
        age_ms={"p50": 80.0, "p90": 100.0, "p99": p99, "max": 130.0},
    )


def plan(port):
    return Plan(processes=(), links=links_of(WorldSettings(), load_topology()), network_port=port)


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        (spread(), True),
        (spread(seen=199), False),
        (spread(p99=2_000.0), False),
        (spread(attempts=0, seen=0), False),
    ],
)
def test_it_passes_when_all_were_seen_and_99_percent_in_time(found, passed):
    assert found.passed is passed


def test_a_pair_is_shown_with_the_network_that_was_between():
    (found,) = spread_found([spread()], plan(18_040))
    assert (found["round_trip_ms"], found["passed"]) == (80.0, True)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(spread_table([found]))
    for part in ("us-east-1", "eu-west-1", "80 ms", "200 of 200", "120 ms"):
        assert part in captured.get()


def test_a_direct_link_has_no_round_trip():
    (found,) = spread_found([spread()], plan(None))
    assert found["round_trip_ms"] == 0.0
