"""A region's plan is priced by hand, and what is no plan is refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import OperatorError
from chaos.bench.estimate import estimate_of, load_nodes
from chaos.bench.prices import load_prices

PRICES = Path(__file__).parents[4] / "terraform/prices.toml"
NODES = {
    "hosts": {
        "scorers": {"type": "c7i.4xlarge", "count": 3},
        "applier": {"type": "c7i.xlarge", "count": 2},
    },
    "datastores": {"cache.r7g.large": 2},
    "volume_gb": 500,
    "stream_shards": 2,
    "balancers": 1,
}


@pytest.fixture
def nodes(tmp_path):
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(NODES))
    return path


def test_a_plan_is_priced_as_by_hand(nodes):
    found = estimate_of(load_nodes(nodes), copies=2, region="eu-west-1", prices=load_prices(PRICES))
    hours, factor = 730, 1.07
    assert found.dollars == pytest.approx(
        {
            "scorers": factor * 3 * hours * 0.714,
            "applier": factor * 2 * hours * 0.1785,
            "datastores": factor * 4 * hours * 0.1752,
            "volumes": factor * 500 * 0.08,
            "stream": factor * 2 * hours * 0.015,
            "load balancers": factor * hours * 0.0225,
        }
    )
    assert found.total == pytest.approx(sum(found.dollars.values()))


def test_copies_need_one_type_of_the_regions_own(tmp_path):
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(NODES | {"datastores": {}}))
    with pytest.raises(OperatorError, match="one such type"):
        estimate_of(load_nodes(path), copies=1, region="us-east-1", prices=load_prices(PRICES))


@pytest.mark.parametrize("text", ["", "{}", json.dumps(NODES | {"lambdas": 3})])
def test_what_is_no_plan_is_refused(tmp_path, text):
    path = tmp_path / "nodes.json"
    path.write_text(text)
    with pytest.raises(OperatorError, match="terraform output"):
        load_nodes(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OperatorError, match="cannot be read"):
        load_nodes(tmp_path / "none.json")
