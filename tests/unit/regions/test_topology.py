"""The topology file is checked as a whole, and answers what others ask of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from regions.topology import TopologyError, load_topology

GOOD = """
endpoint_host: "{region}.decisions.{domain}"
retired_numbers: [9]
regions:
  us-east-1: {number: 0, shards: 1, sources: [us-east-1, eu-west-1]}
  eu-west-1: {number: 1, shards: 2, sources: [eu-west-1]}
links:
  - {between: [us-east-1, eu-west-1], round_trip_ms: 80}
"""


def load(folder: Path, text: str):
    path = folder / "topology.yaml"
    path.write_text(text)
    return load_topology(path)


def test_the_shipped_topology_keeps_the_numbers_it_has_given_out():
    regions = load_topology().regions
    numbers = {name: region.number for name, region in regions.items()}
    assert numbers == {"us-east-1": 0, "eu-west-1": 1, "ap-southeast-1": 2}


def test_every_shipped_region_reads_its_own_datastore_first():
    for name, region in load_topology().regions.items():
        assert region.sources[0] == name


def test_a_round_trip_is_the_same_in_both_directions():
    topology = load_topology()
    assert topology.round_trip_ms("us-east-1", "eu-west-1") == 80
    assert topology.round_trip_ms("eu-west-1", "us-east-1") == 80
    assert topology.round_trip_ms("eu-west-1", "eu-west-1") == 0


def test_each_region_has_a_hundred_ports_of_its_own():
    topology = load_topology()
    first, second = topology.ports("us-east-1", 18_000), topology.ports("eu-west-1", 18_000)
    assert (first.api, first.operations, first.datastore(0)) == (18_000, 18_001, 18_010)
    assert (second.api, second.operations, second.datastore(1)) == (18_100, 18_101, 18_111)


def test_ports_that_would_end_past_the_last_one_are_refused():
    with pytest.raises(TopologyError, match="port base 65400 is too high for the ports of eu-west"):
        load_topology().ports("eu-west-1", 65_400)


def test_an_endpoint_is_made_of_the_region_and_the_domain():
    endpoint = load_topology().endpoint("eu-west-1", "pay.example.com")
    assert endpoint == "eu-west-1.decisions.pay.example.com"


def test_a_region_is_reached_from_afar_on_a_port_of_its_own_for_each_caller():
    topology = load_topology()
    assert topology.api_port("eu-west-1", "eu-west-1", 18_000) == 18_100
    assert topology.api_port("eu-west-1", "us-east-1", 18_000) == 18_126
    assert topology.api_port("eu-west-1", "ap-southeast-1", 18_000) == 18_127
    with pytest.raises(TopologyError, match="no region 'mars-1'"):
        topology.api_port("eu-west-1", "mars-1", 18_000)


def test_every_shard_of_every_source_has_its_ports_within_the_regions_hundred():
    topology = load_topology()
    ports = topology.ports("eu-west-1", 18_000)
    copies = [ports.replica(number, shard) for number in range(2) for shard in range(3)]
    assert copies == list(range(18_114, 18_120))
    links = [
        topology.replication_port("eu-west-1", source, shard, 18_000)
        for source in ("us-east-1", "ap-southeast-1")
        for shard in range(3)
    ]
    assert links == list(range(18_120, 18_126))


def test_a_region_that_is_not_there_is_named_together_with_those_that_are():
    with pytest.raises(TopologyError, match="no region 'mars-1'; the topology has us-east-1, eu"):
        load_topology().region("mars-1")


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ("number: 1,", "number: 0,", "eu-west-1 has number 0, which belongs to us-east-1"),
        ("number: 1,", "number: 9,", "eu-west-1 has number 9, which belongs to a retired region"),
        ("number: 1,", "number: 256,", "Expected `int` <= 255"),
        ("shards: 2", "shards: 4", "Expected `int` <= 3"),
        ("shards: 2", "shard: 2", "unknown field `shard`"),
        ("[eu-west-1]", "[us-east-1]", "eu-west-1 must list its own datastore as its first source"),
        ("[eu-west-1]", "[eu-west-1, eu-west-1]", "eu-west-1 lists a source twice"),
        ("[eu-west-1]", "[eu-west-1, eu-west-9]", "eu-west-1 reads from eu-west-9, which is not"),
        ("{domain}", "example", "endpoint_host has no {domain}"),
        ("us-east-1, eu-west-1], round", "us-east-1, us-east-1], round", "are not two regions"),
        ("  - {between: [us-east-1, eu-west-1], round_trip_ms: 80}", "  []", "no link joins"),
    ],
)
def test_a_topology_that_cannot_be_is_refused_in_a_sentence(tmp_path, was, becomes, problem):
    assert was in GOOD
    with pytest.raises(TopologyError) as caught:
        load(tmp_path, GOOD.replace(was, becomes))
    assert problem in str(caught.value)


def test_two_links_between_one_pair_are_refused(tmp_path):
    again = "  - {between: [eu-west-1, us-east-1], round_trip_ms: 90}\n"
    with pytest.raises(TopologyError, match="eu-west-1 and us-east-1 have two links"):
        load(tmp_path, GOOD + again)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TopologyError, match=r"nowhere\.yaml cannot be read: No such file"):
        load_topology(tmp_path / "nowhere.yaml")
