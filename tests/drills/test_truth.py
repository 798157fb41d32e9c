"""Two regions with the network between them: cut off, asked twice, and rushed."""

from __future__ import annotations

import asyncio
import json
import shutil
import time

import pytest

from chaos.relay import late_answers
from regions.world.network import toxiproxy_binary
from regions.world.toxiproxy import Network

REGIONS = ("us-east-1", "eu-west-1")
needs_toxiproxy = pytest.mark.skipif(
    toxiproxy_binary() is None, reason="Toxiproxy is not installed: run 'make toxiproxy'"
)


@pytest.fixture(scope="module")
def world(trained, tmp_path_factory, stepdown, free_ports, service_of):
    home = tmp_path_factory.mktemp("truth") / "home"
    shutil.copytree(trained, home, ignore=shutil.ignore_patterns("data"))
    base = free_ports(2)
    done = stepdown("up", "--json", home=home, port_base=base, regions=REGIONS)
    assert done.returncode == 0, done.stderr
    try:
        yield service_of(home, base)
    finally:
        assert stepdown("down", home=home).returncode == 0


@pytest.fixture
def drilled(world, stepdown):
    """Runs a drill: its exit code, and what it found."""

    def run(*words):
        done = stepdown("drill", "run", *words, "--json", home=world.home)
        assert done.returncode in {0, 1}, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@needs_toxiproxy
def test_regions_that_were_cut_off_from_each_other_count_every_attempt_once(world, drilled):
    code, found = drilled("partition", "--rate", "10", "--hold", "9")
    agreement = found["agreement"]
    assert (agreement["lost"], agreement["twice"], agreement["wrong"]) == (0, 0, 0), agreement
    assert agreement["equal_s"].keys() == set(REGIONS)
    assert found["attempts"] >= 2 * 10 * (9 + 3)
    assert [attack["decides"] for attack in found["attacks"]] == ["model", "brake"]
    assert code == 0, found
    links = Network(world.port + 40).proxies().values()
    assert all(link.enabled for link in links), "the cut is healed"


@needs_toxiproxy
def test_an_attempt_that_two_regions_are_sent_has_one_decision_and_counts_once(drilled):
    code, found = drilled("twice", "--rate", "10", "--hold", "4")
    (later,) = found["later"]
    assert later == {"region": "eu-west-1", "attempts": 40, "same": 40}
    once = found["at_once"]
    assert once["attempts"] == once["answered"] == 20
    assert 0 < once["twice"] <= once["superseded"]
    assert once["unclear"] == found["agreement"]["wrong"] == 0
    assert code == 0, found


def test_a_burst_gets_no_more_approvals_than_the_brakes_of_all_workers_allow(drilled):
    code, found = drilled("burst")
    bounds = {one["regions"]: one["bound"] for one in found["bursts"] if one["decides"] == "brake"}
    assert bounds == {1: 6, 2: 12}
    assert code == 0, found


async def test_on_a_late_way_questions_arrive_at_once_and_answers_late():
    async def echo(reader, writer):
        arrived_s.append(time.monotonic())
        writer.write(await reader.read(100))
        writer.close()

    arrived_s = []
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, late_answers(f"http://127.0.0.1:{port}") as way:
        way.late_s = 0.3
        reader, writer = await asyncio.open_connection("127.0.0.1", int(way.url.rpartition(":")[2]))
        sent_s = time.monotonic()
        writer.write(b"here?")
        assert await reader.read(100) == b"here?"
        assert time.monotonic() - sent_s >= 0.3
        assert arrived_s[0] - sent_s < 0.3
        writer.close()
