"""The plan of embedded regions: what runs, in which order, on which ports, told what."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import msgspec
import pytest

from app.datastore_binary import datastore_binary
from regions.topology import TopologyError, load_topology
from regions.world import embedded
from regions.world.embedded import embedded_plan
from regions.world.plan import NETWORK, AnswersHttp, AnswersPing, Plan
from regions.world.settings import WorldSettings

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-1")


def plan_of(home: Path, *regions: str, **settings: object) -> Plan:
    return embedded_plan(
        WorldSettings(home=home, port_base=30_000, regions=regions, **settings), load_topology()
    )


@pytest.fixture(autouse=True)
def toxiproxy(tmp_path, monkeypatch):
    """A program of that name, so that plans do not depend on the machine."""
    program = tmp_path / "tools" / "toxiproxy-server"
    program.parent.mkdir()
    program.touch()
    monkeypatch.setattr(embedded, "toxiproxy_binary", lambda: program)


def with_network(home: Path) -> Plan:
    return plan_of(home, *REGIONS)


def configuration_of(plan: Plan, name: str) -> list[str]:
    spec = next(spec for spec in plan.processes if spec.name == name)
    return Path(spec.command[1]).read_text().splitlines()


def test_a_region_starts_from_the_datastore_up_to_the_scorer(tmp_path):
    plan = plan_of(tmp_path, "us-east-1")
    names = [spec.name.removeprefix("us-east-1/") for spec in plan.processes]
    assert names[:4] == ["datastore", "stream", "shipper", "applier"]
    assert names[-2:] == ["operations", "scorer"]
    ports = [spec.port for spec in plan.processes if spec.port is not None]
    assert ports == [30_010, 30_013, 30_053, 30_001, 30_000]


def test_readiness_is_asked_of_each_process_as_its_users_would(tmp_path):
    datastore, stream, *_, operations, scorer = plan_of(tmp_path, "us-east-1").processes
    assert isinstance(datastore.ready, AnswersPing)
    assert isinstance(stream.ready, AnswersPing)
    assert operations.ready == AnswersHttp(host="127.0.0.1", port=30_001, path="/livez")
    assert scorer.ready == AnswersHttp(host="127.0.0.1", port=30_000, path="/livez")


def test_a_scorer_is_told_what_it_needs(tmp_path):
    environment = plan_of(tmp_path, "us-east-1").processes[-1].environment
    assert environment["STEPDOWN_HOME"] == str(tmp_path)
    assert environment["STEPDOWN_REGION"] == "us-east-1"
    assert environment["STEPDOWN_PROFILE"] == "development"
    assert environment["STEPDOWN_API_PORT"] == "30000"
    assert environment["STEPDOWN_OPERATIONS_PORT"] == "30001"
    assert environment["STEPDOWN_STORE"] == "127.0.0.1:30010"
    assert environment["STEPDOWN_STREAM"] == "127.0.0.1:30013"
    assert environment["STEPDOWN_SOURCES"] == "us-east-1=127.0.0.1:30010"


def test_a_region_reads_its_own_store_and_local_copies_of_those_of_the_regions_that_run(tmp_path):
    scorer = plan_of(tmp_path, "us-east-1", "eu-west-1").processes[-1]
    assert scorer.name == "eu-west-1/scorer"
    assert scorer.environment["STEPDOWN_SOURCES"] == (
        "eu-west-1=127.0.0.1:30110,us-east-1=127.0.0.1:30114"
    )


def test_no_region_reads_or_writes_a_store_of_another_one(tmp_path):
    plan = plan_of(tmp_path, *REGIONS)
    for number, region in enumerate(REGIONS):
        own = range(30_000 + 100 * number, 30_100 + 100 * number)
        scorer = next(spec for spec in plan.processes if spec.name == f"{region}/scorer")
        told = scorer.environment["STEPDOWN_SOURCES"] + "," + scorer.environment["STEPDOWN_STORE"]
        ports = [int(port) for port in re.findall(r":(\d+)", told)]
        assert len(ports) == 4
        assert all(port in own for port in ports), region


def test_a_copy_follows_its_primary_over_the_network_and_says_how_old_it_is_without(tmp_path):
    copy = configuration_of(with_network(tmp_path), "ap-southeast-1/replica-us-east-1")
    assert "replicaof 127.0.0.1 30220" in copy
    assert "replica-read-only yes" in copy
    assert "replica-serve-stale-data yes" in copy
    password = (tmp_path / "secrets" / "datastore").read_text()
    assert f"masterauth {password}" in copy


def test_without_toxiproxy_a_copy_follows_its_primary_directly(tmp_path):
    plan = plan_of(tmp_path, *REGIONS, network="direct")
    assert plan.network_port is None
    assert NETWORK not in [spec.name for spec in plan.processes]
    assert "replicaof 127.0.0.1 30010" in configuration_of(plan, "eu-west-1/replica-us-east-1")


def test_every_link_has_half_the_round_trip_of_the_topology_in_each_direction(tmp_path):
    links = {link.name: link for link in plan_of(tmp_path, *REGIONS).links}
    assert len(links) == 12
    far = links["replication:eu-west-1:ap-southeast-1:0"]
    assert (far.listen, far.upstream, far.latency_ms) == (30_123, 30_210, 85.0)
    call = links["api:us-east-1:eu-west-1"]
    assert (call.listen, call.upstream, call.latency_ms) == (30_126, 30_100, 40.0)


def test_nothing_is_copied_from_one_cell_of_regions_to_another(tmp_path):
    cells = [("us-east-1", "us-west-2", "ca-central-1"), ("eu-west-1", "eu-north-1", "eu-south-1")]
    topology = tmp_path / "topology.yaml"
    topology.write_text(_cells(cells))
    names = [name for cell in cells for name in cell]
    settings = WorldSettings(home=tmp_path, port_base=30_000, regions=tuple(names))
    plan = embedded_plan(settings, load_topology(topology))
    for cell in cells:
        for region in cell:
            copies = {
                spec.name.removeprefix(f"{region}/replica-")
                for spec in plan.processes
                if spec.name.startswith(f"{region}/replica-")
            }
            assert copies == {other for other in cell if other != region}
    carried = {(link.near, link.far) for link in plan.links if link.carries == "replication"}
    assert carried == {(a, b) for cell in cells for a in cell for b in cell if a != b}
    assert len({link.listen for link in plan.links}) == len(plan.links)


def test_a_lone_region_has_no_links_and_no_network(tmp_path):
    plan = plan_of(tmp_path, "us-east-1")
    assert (plan.links, plan.network_port) == ((), None)


def test_no_port_is_used_twice(tmp_path):
    plan = with_network(tmp_path)
    ports = [spec.port for spec in plan.processes if spec.port is not None]
    ports += [link.listen for link in plan.links]
    assert len(set(ports)) == len(ports) == 3 * 7 + 1 + 12


def test_the_network_is_told_what_to_do_on_this_machine_alone(tmp_path):
    network = next(spec for spec in with_network(tmp_path).processes if spec.name == NETWORK)
    assert network.region == ""
    assert network.command[1:] == ("-host", "127.0.0.1", "-port", "30040")
    assert network.ready == AnswersHttp(host="127.0.0.1", port=30_040, path="/version")


def test_each_shard_of_a_store_is_a_datastore_of_its_own(tmp_path):
    topology = load_topology()
    region = msgspec.structs.replace(topology.regions["us-east-1"], shards=2)
    topology = msgspec.structs.replace(topology, regions={**topology.regions, "us-east-1": region})
    settings = WorldSettings(home=tmp_path, port_base=30_000, regions=("us-east-1",))
    plan = embedded_plan(settings, topology)
    assert [spec.name for spec in plan.processes[:2]] == [
        "us-east-1/datastore",
        "us-east-1/datastore-1",
    ]
    assert plan.processes[-1].environment["STEPDOWN_STORE"] == "127.0.0.1:30010|127.0.0.1:30011"


def test_the_streams_memory_is_bounded(tmp_path):
    stream = plan_of(tmp_path, "us-east-1").processes[1]
    lines = Path(stream.command[1]).read_text().splitlines()
    for line in ("port 30013", "maxmemory 256mb", "maxmemory-policy noeviction", "appendonly yes"):
        assert line in lines
    assert "repl-diskless-sync-delay 0" not in lines


def test_the_datastores_configuration_is_private_and_keeps_what_it_is_told(tmp_path):
    datastore = plan_of(tmp_path, "us-east-1").processes[0]
    configuration = Path(datastore.command[1])
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o600
    lines = configuration.read_text().splitlines()
    password = (tmp_path / "secrets" / "datastore").read_text()
    for line in (
        "bind 127.0.0.1",
        "port 30010",
        f"requirepass {password}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "repl-diskless-sync-delay 0",
        "maxmemory-policy noeviction",
    ):
        assert line in lines


def test_the_password_is_nowhere_in_the_plan(tmp_path):
    plan = plan_of(tmp_path, "us-east-1")
    password = (tmp_path / "secrets" / "datastore").read_text()
    assert password not in msgspec.json.encode(plan).decode()


def test_only_the_api_listens_where_others_can_reach_it(tmp_path):
    plan = plan_of(tmp_path, "us-east-1", host="0.0.0.0", allow_remote=True)
    *others, scorer = [spec.host for spec in plan.processes]
    assert set(others) == {"127.0.0.1"}
    assert scorer == "0.0.0.0"


def test_everything_stops_within_twenty_seconds(tmp_path):
    for region in REGIONS:
        mine = [spec for spec in with_network(tmp_path).processes if spec.region == region]
        assert sum(spec.stop_timeout_s for spec in mine) < 20


def test_a_region_that_is_not_in_the_topology_is_refused(tmp_path):
    with pytest.raises(TopologyError, match="there is no region 'mars-1'"):
        plan_of(tmp_path, "mars-1")


def test_the_datastores_program_comes_with_the_wheel():
    assert datastore_binary().name == "valkey-server"


def test_a_plan_is_the_same_after_it_was_written_and_read(tmp_path):
    plan = plan_of(tmp_path, "us-east-1", "eu-west-1")
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_proxies_stand_before_a_region_s_own_datastores_only_where_that_is_asked_for(tmp_path):
    def addresses(plan):
        scorer = next(spec for spec in plan.processes if spec.name == "eu-west-1/scorer")
        names = ("STEPDOWN_STORE", "STEPDOWN_STREAM", "STEPDOWN_SOURCES")
        return [scorer.environment[name] for name in names]

    plain, all_ = plan_of(tmp_path, *REGIONS), plan_of(tmp_path, *REGIONS, proxied="all")
    assert not [link for link in plain.links if link.carries == "store"]
    own = {link.name: link for link in all_.links if link.carries == "store"}
    assert own["store:eu-west-1:eu-west-1:0"].upstream == 30_110
    assert own["store:eu-west-1:stream"].upstream == 30_113
    assert {link.latency_ms for link in own.values()} == {0.0}
    assert addresses(plain)[:2] == ["127.0.0.1:30110", "127.0.0.1:30113"]
    assert addresses(all_)[:2] == ["127.0.0.1:30160", "127.0.0.1:30163"]
    sources = dict(one.split("=") for one in addresses(all_)[2].split(","))
    assert sources["us-east-1"] == f"127.0.0.1:{own['store:eu-west-1:us-east-1:0'].listen}"
    listens = [link.listen for link in all_.links]
    assert len(set(listens)) == len(listens)


def _cells(cells: Sequence[Sequence[str]]) -> str:
    """A topology of cells, every region of one reading all of it."""
    names = [name for cell in cells for name in cell]
    regions = {
        name: {"number": names.index(name), "shards": 1, "sources": [name, *set(cell) - {name}]}
        for cell in cells
        for name in cell
    }
    links = [{"between": pair, "round_trip_ms": 50} for pair in combinations(names, 2)]
    said = {"endpoint_host": "{region}.{domain}", "retired_numbers": [], "regions": regions}
    return msgspec.json.encode({**said, "links": links}).decode()
