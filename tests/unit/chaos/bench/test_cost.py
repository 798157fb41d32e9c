"""The cost of a traffic, by hand: every price and share is a round number."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import msgspec
import pytest

from app.errors import OperatorError
from app.features.reference import REFERENCE
from app.marked_section import read_section
from chaos.bench.cost import RATES, cost_of, costs_of, fewer_ids, sources_of
from chaos.bench.cost_store import SHARDS_MAX, kept_days, node_of
from chaos.bench.cost_table import print_costs, section
from chaos.bench.measured import Measured, load_measured
from chaos.bench.prices import Machine, Plan, Prices, RegionPrice, Units, load_prices
from chaos.bench.sizes import Sizes
from regions.topology import load_topology

ROOT = Path(__file__).parents[4]
RESULTS = ROOT / "docs" / "results"
KINDS = ("card", "email", "device", "ip")

SIZES = Sizes(
    measured_on=date(2026, 11, 22),
    decisions=1_000,
    full=1.0,
    sources=3,
    request_bytes=600.0,
    answer_bytes=400.0,
    record_bytes=1_000.0,
    replicated_bytes=500.0,
    store_bytes=2_000.0,
    claim_memory=1_000.0,
    entity_memory=dict.fromkeys(KINDS, 1_000.0),
)
MEASURED = Measured(
    evaluator="CatBoost",
    scorer_us=800.0,
    followers_us=200.0,
    datastores_us=300.0,
    applier_us=100.0,
    sizes=SIZES,
)
PRICES = Prices(
    month="2026-11",
    month_hours=100.0,
    regions={
        "us-east-1": RegionPrice(factor=1.0, transfer_gb=0.1),
        "eu-west-1": RegionPrice(factor=1.0, transfer_gb=0.1),
        "ap-southeast-1": RegionPrice(factor=2.0, transfer_gb=0.2),
    },
    hosts={"host": Machine(hour=1.0, vcpus=1, gib=1.0)},
    datastores={
        "small": Machine(hour=1.0, vcpus=1, gib=10.0),
        "big": Machine(hour=3.0, vcpus=4, gib=40.0),
    },
    units=Units(
        volume_gb_month=0.1,
        stream_shard_hour=0.01,
        stream_million_puts=0.5,
        object_gb_month=0.1,
        object_thousand_puts=0.01,
        balancer_hour=0.1,
        balancer_unit_hour=0.1,
        zone_gb=0.01,
    ),
    plan=Plan(
        scorer_host="host",
        applier_host="host",
        zones=2,
        applier_hosts_min=1,
        core_share=1.0,
        host_use=0.5,
        store_use=0.5,
        store_memory=0.5,
        stream_use=0.5,
        home_nodes=2,
        copy_nodes=1,
        mean_load=0.5,
        id_uses_day=1.0,
        claim_s=100.0,
        history_bytes=500.0,
        record_months=1.0,
        segment_mb=10.0,
        volume_gb=10.0,
    ),
)
TOPOLOGY = load_topology()


def planned(**changes):
    return msgspec.structs.replace(PRICES, plan=msgspec.structs.replace(PRICES.plan, **changes))


def cost(rate=2_000, *, measured=MEASURED, prices=PRICES):
    return cost_of(measured, prices, TOPOLOGY, {"card": 1.0}, rate=rate)


def test_two_regions_carry_what_three_did():
    made = cost()
    assert made.region_rate == 1_000
    assert made.cores == pytest.approx(
        {"scorers": 0.8, "followers": 0.2, "applier": 0.1, "datastores": 0.3}
    )


def test_a_store_holds_the_ids_that_were_used_within_what_it_keeps_and_the_claims():
    store = cost().store
    # 500 attempts a second in the mean, each id once a day: 43.2 million ids, 1 - 1/e within a day.
    assert store.ids == pytest.approx(27_307_608, rel=1e-6)
    # 1,000 bytes each, and 100 s of attempt ids at the full rate of 1,000 a second.
    assert store.gib == pytest.approx((27_307_608_000 + 100_000_000) / 2**30, rel=1e-6)
    assert store.cores == pytest.approx(0.1)
    # 51 GiB with the reserve: six small nodes are more than a store may have, two big ones hold it.
    assert (store.node, store.shards) == ("big", 2)


def test_a_region_has_hosts_for_its_cores_and_nodes_for_every_source():
    nodes = cost().nodes["eu-west-1"]
    assert nodes.hosts == {"scorer hosts": ("host", 2), "applier hosts": ("host", 1)}
    # Two shards: two nodes each of its own store, one each of the two others.
    assert nodes.datastores == {"big": 8}
    assert nodes.volume_gb == 30
    # 1 MB a second into shards that take half of that.
    assert nodes.stream_shards == 2
    assert set(cost().nodes) == {"us-east-1", "eu-west-1", "ap-southeast-1"}


def test_the_dollars_of_a_month_are_those_computed_by_hand():
    made = cost()
    assert made.decisions == 360e6
    # 120 million decisions a region; the third region counts twice where its factor applies.
    assert made.dollars == pytest.approx(
        {
            "scorer hosts": 2 * 100 * 4,
            "applier hosts": 100 * 4,
            "datastores": 8 * 3 * 100 * 4,
            "volumes": 30 * 0.1 * 4,
            # A run of 128 KiB is six payload units.
            "stream": (2 * 100 * 0.01 + 120e9 / 131_072 * 6 / 1e6 * 0.5) * 4,
            # 180 GB; 12,000 segments and an anchor for each of two hosts and 360,000 seconds.
            "object storage": (18 + 732 * 0.01) * 4,
            "load balancers": (10 + 12) * 4,
            "between regions": 120 * (0.1 + 0.1 + 0.2),
            "between zones": 120 * 0.01 * 3,
        }
    )
    assert made.replicated_gb == pytest.approx(360)
    assert made.total == pytest.approx(11_071.866, abs=0.001)
    assert made.per_million == pytest.approx(11_071.866 / 360, abs=0.001)


def test_each_zone_has_a_host_however_little_there_is_to_do():
    assert cost(2).nodes["us-east-1"].hosts["scorer hosts"] == ("host", 2)


def test_a_slower_vcpu_takes_more_hosts():
    hosts = cost(prices=planned(core_share=0.25)).nodes["us-east-1"].hosts
    assert hosts["scorer hosts"] == ("host", 8)


def test_a_store_takes_the_cheapest_layout_that_the_topology_does():
    assert node_of(PRICES.datastores, gib=25.0, cores=0.1) == ("big", 1)
    assert node_of(PRICES.datastores, gib=15.0, cores=0.1) == ("small", 2)
    assert node_of(PRICES.datastores, gib=1.0, cores=2.1) == ("small", 3)


def test_a_store_that_no_layout_holds_gets_the_fewest_shards_and_is_said_to_be_too_large():
    node, shards = node_of(PRICES.datastores, gib=200.0, cores=0.1)
    assert (node, shards) == ("big", 5)
    assert shards > SHARDS_MAX
    assert cost(8_000).beyond[0] == "a store needs 6 shards, the topology takes 3"


def test_an_applier_that_would_be_busier_than_its_head_room_is_said_to_be():
    small = planned(store_memory=1.0, id_uses_day=1_000.0)
    assert cost(10_000, prices=small).beyond == []
    assert cost(12_000, prices=small).beyond == [
        "the applier of a region, one process, would be busy 60% of 50%"
    ]


def test_ids_used_twice_as_often_are_half_as_many():
    whole, half = (cost(prices=each).store.ids for each in (PRICES, fewer_ids(PRICES)))
    assert half / whole == pytest.approx(0.5 * -math.expm1(-2.0) / -math.expm1(-1.0))


def test_an_entity_is_kept_for_twice_its_longest_window():
    kept = kept_days(REFERENCE)
    assert list(kept) == list(KINDS)
    assert kept["device"] == 2.5
    assert kept["card"] == 75.0


def test_the_topology_of_the_service_reads_three_stores():
    assert sources_of(TOPOLOGY) == 3


def test_a_single_region_has_none_to_lose():
    alone = msgspec.structs.replace(
        TOPOLOGY, regions={"us-east-1": TOPOLOGY.region("us-east-1")}, links=()
    )
    with pytest.raises(OperatorError, match="needs two regions or more"):
        sources_of(alone)


@pytest.fixture
def tables():
    fast = msgspec.structs.replace
    void = Measured(
        evaluator="accelerated",
        scorer_us=400.0,
        followers_us=200.0,
        datastores_us=300.0,
        applier_us=100.0,
        sizes=fast(SIZES, full=0.9),
        void=("sizes: full answered only 90.0%.",),
    )
    kept = dict.fromkeys(KINDS, 1.0)
    measured = [MEASURED, void]
    costs, fewer = (
        costs_of(measured, each, TOPOLOGY, kept, rates=[2_000, 20_000])
        for each in (PRICES, fewer_ids(PRICES))
    )
    return costs, fewer, measured, PRICES


def test_the_section_has_a_column_for_each_rate_and_evaluator_and_the_same_cells_in_each_row(
    tables,
):
    lines = section(*tables).splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("|")]
    assert rows[0] == [
        "| attempts/s",
        *("2,000, CatBoost", "2,000, accelerated", "20,000, CatBoost", "20,000, accelerated |"),
    ]
    assert {len(row) for row in rows} == {5}
    (total,) = (row for row in rows if row[0] == "| $ a month")
    assert total[1] == f"{tables[0][0].total:,.0f}"


def test_what_the_table_rests_on_is_below_it_and_a_limit_of_all_evaluators_is_said_once(tables):
    text = section(*tables)
    assert text.count("the applier of a region, one process, would be busy 100% of 50%.") == 1
    assert "Void as it was measured, sizes: full answered only 90.0%." in text
    assert "List prices of 2026-11" in text
    assert "CPU of a decision, accelerated: scorer 400 us" in text


def test_the_terminal_shows_the_same_total(tables, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_costs(*tables)
    said = " ".join(capsys.readouterr().out.split())
    assert f"$ a month {tables[0][0].total:,.0f}" in said


def test_the_readme_shows_what_the_kept_results_cost():
    names = ("bench-hot.json", "bench-write-side.json", "bench-sizes.json")
    shown = read_section(ROOT / "README.md", "cost")
    if not all((RESULTS / name).exists() for name in names):
        assert shown == ""
        return
    prices = load_prices(ROOT / "terraform" / "prices.toml")
    measured = load_measured(RESULTS, sources=sources_of(TOPOLOGY))
    costs, fewer = (
        costs_of(measured, each, TOPOLOGY, kept_days(REFERENCE), rates=RATES)
        for each in (prices, fewer_ids(prices))
    )
    assert shown == section(costs, fewer, measured, prices)
