"""The price file, and dollars from counts of nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import OperatorError
from chaos.bench.prices import Nodes, Usage, load_prices, monthly_dollars
from regions.topology import load_topology

FILE = Path(__file__).parents[4] / "terraform" / "prices.toml"


@pytest.fixture(scope="module")
def prices():
    return load_prices(FILE)


def test_every_region_of_the_topology_has_prices(prices):
    assert set(prices.regions) == set(load_topology().regions)


def test_nothing_costs_nothing(prices):
    assert set(monthly_dollars(prices, "us-east-1", Nodes()).values()) == {0.0}


def test_nodes_alone_are_priced_by_the_hour_and_the_factor_of_their_region(prices):
    nodes = Nodes(
        hosts={"scorer hosts": ("c7i.large", 2)},
        datastores={"cache.r7g.large": 3},
        volume_gb=100.0,
        stream_shards=4,
        balancers=1,
    )
    home, far = (monthly_dollars(prices, name, nodes) for name in ("us-east-1", "ap-southeast-1"))
    assert home["scorer hosts"] == pytest.approx(2 * 730 * 0.08925)
    assert home["datastores"] == pytest.approx(3 * 730 * 0.1752)
    assert home["volumes"] == pytest.approx(8.0)
    assert home["stream"] == pytest.approx(4 * 730 * 0.015)
    assert home["load balancers"] == pytest.approx(730 * 0.0225)
    assert far == pytest.approx({part: 1.15 * dollars for part, dollars in home.items()})


def test_transfer_has_the_price_of_the_region_that_sends(prices):
    used = Usage(region_gb=100.0, zone_gb=100.0)
    far = monthly_dollars(prices, "ap-southeast-1", Nodes(), used)
    assert far["between regions"] == pytest.approx(9.0)
    assert far["between zones"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("region", "nodes", "said"),
    [
        ("mars-north-1", Nodes(), "no prices of mars-north-1"),
        ("us-east-1", Nodes(datastores={"cache.z": 1}), "no price of cache.z"),
        ("us-east-1", Nodes(hosts={"scorer hosts": ("z.large", 1)}), "no price of z.large"),
    ],
)
def test_what_has_no_price_is_one_sentence(prices, region, nodes, said):
    with pytest.raises(OperatorError, match=said):
        monthly_dollars(prices, region, nodes)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('month = "2025-06"', 'month = "June"', "is no price file"),
        ("balancer_hour", "balancer_minute", "is no price file"),
        ('scorer_host = "c7i.4xlarge"', 'scorer_host = "z.large"', "plans with z.large"),
        ("host_use = 0.5", "host_use = 1.5", "is no price file"),
    ],
)
def test_a_price_file_that_cannot_be_used_is_one_sentence(tmp_path, before, after, said):
    text = FILE.read_text()
    assert before in text
    path = tmp_path / "prices.toml"
    path.write_text(text.replace(before, after))
    with pytest.raises(OperatorError, match=said):
        load_prices(path)


def test_a_price_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(OperatorError, match=r"prices\.toml cannot be read"):
        load_prices(tmp_path / "prices.toml")
