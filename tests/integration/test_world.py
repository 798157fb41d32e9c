"""Two regions with the network between them: each decides by what the other one counted."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from regions.topology import load_topology
from regions.world.home import Home
from regions.world.network import toxiproxy_binary
from regions.world.overview import Overview, look
from regions.world.plan import NETWORK
from regions.world.toxiproxy import Network, Toxic

pytestmark = pytest.mark.skipif(
    toxiproxy_binary() is None, reason="Toxiproxy is not installed: run 'make toxiproxy'"
)
US, EU = "us-east-1", "eu-west-1"
TO_EU = f"replication:{US}:{EU}:0"  # over which us-east-1 copies what eu-west-1 counts
ROUND_TRIP_MS = 80


class TwoRegions:
    """The running world, and what tests ask of it."""

    def __init__(self, service, stepdown) -> None:
        self.service = service
        self.stepdown = stepdown
        self.topology = load_topology()
        self.network = Network(self.topology.network_port(service.port))

    @property
    def world(self):
        return self.service.world

    def look(self) -> Overview:
        return look(Home(self.service.home), self.world.status())

    def seen(self, region, source) -> str | None:
        """Why a region does without a source."""
        said = self.look().regions[region]
        return "silent" if not said or source not in said["sources"] else said["sources"][source]

    def decide(self, region) -> dict:
        """The answer of a region to an attempt."""
        port = self.topology.api_port(region, region, self.service.port)
        status, answer = replace(self.service, port=port).post(self.service.sample())
        assert status == 200
        return answer

    def well(self) -> bool:
        pairs = [(one, other) for one in (US, EU) for other in (US, EU)]
        return all(self.seen(*pair) is None for pair in pairs) and not self.look().problems()


def eventually(what: Callable[[], object], *, within_s: float = 20.0) -> None:
    end_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def shared(trained, tmp_path_factory, stepdown, free_ports, service_of) -> Iterator[TwoRegions]:
    home = tmp_path_factory.mktemp("world") / "home"
    shutil.copytree(trained, home, ignore=shutil.ignore_patterns("data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPDOWN_WORKERS", "1")
        # What a region does without a source shows after two seconds instead of thirty.
        patch.setenv("STEPDOWN_COUNTERS_AGE_MAX_MS", "2000")
        base = free_ports(2)
        done = stepdown("up", "--json", home=home, port_base=base, regions=(US, EU))
        assert done.returncode == 0, done.stderr
        try:
            yield TwoRegions(service_of(home, base), stepdown)
        finally:
            assert stepdown("down", home=home).returncode == 0


@pytest.fixture
def world(shared: TwoRegions) -> Iterator[TwoRegions]:
    """The world, all well before a test and after it."""
    eventually(shared.well)
    yield shared
    eventually(shared.well)


def test_what_one_region_decides_counts_in_the_other_after_the_networks_latency(world):
    done = world.stepdown(
        "drill", "run", "spread", "--rate", "10", "--hold", "3", "--json", home=world.service.home
    )
    assert done.returncode == 0, done.stderr
    pairs = {(one["decided_in"], one["read_in"]): one for one in json.loads(done.stdout)["pairs"]}
    assert len(pairs) == 4
    for (one, other), pair in pairs.items():
        assert pair["attempts"] == pair["seen"] == 30
        if one != other:
            assert pair["round_trip_ms"] == ROUND_TRIP_MS
            assert ROUND_TRIP_MS / 2 < pair["age_ms"]["p50"] <= pair["age_ms"]["p99"] < 2_000


def test_a_cut_link_leaves_decisions_on_full_and_shows_which_source_is_old(world):
    with world.network.down(TO_EU):
        eventually(lambda: world.seen(US, EU) == "features_stale")
        assert world.decide(US)["rung"] == "full"
        assert world.seen(EU, US) is None  # the other direction is another link
        seen = world.look()
        assert seen.regions[US]["rungs"]["full"]["available"]
        assert f"the link {TO_EU} is cut." in seen.problems()
        assert [one.link for one in seen.replicas if one.reader == US] == ["down"]
    eventually(lambda: world.seen(US, EU) is None)
    assert world.decide(US)["rung"] == "full"


def test_a_link_that_swallows_everything_is_seen_by_the_age_of_what_it_brought(world):
    swallowed = Toxic(name="gone", type="timeout", attributes={"timeout": 0})
    with world.network.toxic(TO_EU, swallowed):
        eventually(lambda: world.seen(US, EU) == "features_stale")
        assert world.decide(US)["rung"] == "full"
        assert f"the link {TO_EU} has a toxic: timeout." in world.look().problems()
    eventually(lambda: world.seen(US, EU) is None, within_s=30)


def test_a_primary_that_comes_back_empty_is_cold_in_its_copies_and_not_zero(world):
    datastore, applier = f"{EU}/datastore", f"{EU}/applier"
    with emptied(world, datastore, applier):
        eventually(lambda: world.seen(US, EU) == "source_unavailable")
        eventually(lambda: world.look().replicas[0].link == "up")
        assert world.seen(US, EU) == "source_unavailable"
        assert world.decide(US)["rung"] == "full"
    eventually(lambda: world.seen(US, EU) is None, within_s=30)


@contextmanager
def emptied(world: TwoRegions, datastore: str, applier: str) -> Iterator[None]:
    """A datastore that runs and has nothing, for as long as its applier is kept down."""
    world.world.hold(applier)
    world.world.hold(datastore)
    shutil.rmtree(world.service.home / EU / "datastore" / "appendonlydir")
    world.world.release(datastore)
    try:
        yield
    finally:
        world.world.release(applier)


def test_a_toxiproxy_that_was_killed_is_started_again_with_its_links(world):
    before = world.network.proxies()
    restarts = world.world.process(NETWORK).restarts
    world.world.signal(NETWORK, "SIGKILL")
    assert world.decide(US)["rung"] == "full"
    eventually(lambda: world.world.process(NETWORK).restarts == restarts + 1)
    world.world.wait_ready(NETWORK, timeout_s=20)
    assert world.network.proxies() == before


def test_a_checkout_that_is_far_away_waits_for_the_network(world):
    def took_ms(caller):
        port = world.topology.api_port(EU, caller, world.service.port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        start_s = time.monotonic()
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200
        connection.close()
        return (time.monotonic() - start_s) * 1_000

    assert min(took_ms(US) for _ in range(3)) >= ROUND_TRIP_MS
    assert min(took_ms(EU) for _ in range(3)) < ROUND_TRIP_MS


def test_status_is_one_object_and_fits_a_terminal(world):
    said = json.loads(world.stepdown("status", "--json", home=world.service.home).stdout)
    assert said["problems"] == []
    assert said["direct"] is None
    assert set(said["regions"]) == {US, EU}
    assert {one["through"] for one in said["links"]} == {"proxy"}
    assert [one["link"] for one in said["replicas"]] == ["up", "up"]
    shown = world.stepdown("status", home=world.service.home).stdout
    assert shown.splitlines()[0] == "everything is well."
    assert max(map(len, shown.splitlines())) <= 80
    assert "80 ms" in shown


def test_an_entity_is_explained_as_the_region_that_is_asked_sees_it(world):
    body = {**world.service.sample(), "device": {"id": "dev_seen_in_one_region"}}
    assert world.service.post(body)[0] == 200

    def explained():
        done = world.stepdown(
            "features", "explain", "device", "dev_seen_in_one_region", "--region", EU, "--json",
            "--home", str(world.service.home), home=world.service.home,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    eventually(lambda: explained()["state"] == "present")
    held = {one["region"]: one["bytes"] > 0 for one in explained()["regions"]}
    assert held == {EU: False, US: True}


def test_another_number_of_regions_has_to_be_stopped_first(world):
    done = world.stepdown("up", "--regions", "3", home=world.service.home)
    assert done.returncode == 2
    assert "us-east-1, eu-west-1 run already" in done.stderr
