"""Links between regions: with the latency of the topology, or a sentence that says why not."""

from __future__ import annotations

from pathlib import Path

from regions.topology import load_topology
from regions.world import network
from regions.world.network import direct_because, links_of, toxiproxy_binary
from regions.world.plan import Plan
from regions.world.settings import WorldSettings

REGIONS = ("us-east-1", "eu-west-1")


def plan(port=None):
    links = links_of(WorldSettings(regions=REGIONS), load_topology())
    return Plan(processes=(), links=links, network_port=port)


def test_links_that_have_their_latency_need_no_sentence():
    assert direct_because(plan(18_040), installed=True, wanted=True) is None
    assert direct_because(Plan(processes=()), installed=False, wanted=True) is None


def test_links_without_latency_are_told_with_the_way_to_get_it():
    said = direct_because(plan(), installed=False, wanted=True)
    assert said == (
        "the links between the regions are direct and have no latency,"
        " since Toxiproxy is not installed; 'make toxiproxy' gets it."
    )
    assert "as the setting 'network' says" in direct_because(plan(), installed=True, wanted=False)
    assert "'stepdown up'" in direct_because(plan(), installed=True, wanted=True)


def test_toxiproxy_is_found_on_the_path_before_it_is_in_the_folder_of_tools(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(network.sys, "executable", str(tmp_path / "venv" / "python"))
    assert toxiproxy_binary() is None
    of_make = tool(tmp_path / ".stepdown-tools" / "toxiproxy-server")
    assert toxiproxy_binary() == of_make
    on_path = tool(tmp_path / "bin" / "toxiproxy-server")
    assert toxiproxy_binary() == on_path


def tool(path: Path) -> Path:
    path.parent.mkdir()
    path.touch(mode=0o755)
    return path
