"""Operations on two real regions: out, store rebuilt, back in, by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.weights import read_weights, weights_path
from regions.operations.rebuild_world import rebuilding
from regions.operations.stores import applied_of, running_world

REGION, OTHER = "us-east-1", "eu-west-1"


class TwoRegions:
    def __init__(self, home, base):
        self.home = home
        self.environment = {
            **os.environ,
            "STEPDOWN_HOME": str(home),
            "STEPDOWN_PORT_BASE": str(base),
            "STEPDOWN_REGIONS": f"{REGION},{OTHER}",
            "STEPDOWN_WORKERS": "1",
        }

    def run(self, *words):
        return subprocess.run(
            [str(Path(sys.executable).parent / "stepdown"), *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )

    def regions(self, *words, code=0):
        ran = self.run("regions", *words, "--json")
        assert ran.returncode == code, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    def generation(self):
        settings = running_world(self.home).stores.settings[REGION]
        return applied_of(settings.store_shards()[0], settings.datastore_password()).generation


@pytest.fixture
def two_regions(trained, tmp_path, port_base):
    home = tmp_path / "home"

    shutil.copytree(trained, home, ignore=shutil.ignore_patterns("data"))
    running = TwoRegions(home, port_base)
    try:
        up = running.run("up", "--json")
        assert up.returncode == 0, up.stderr
        yield running
    finally:
        assert running.run("down").returncode == 0


def test_a_region_is_taken_out_rebuilt_and_brought_back(two_regions):
    stepdown = two_regions
    would = stepdown.regions("evacuate", REGION, "--dry-run")
    assert would["dry_run"]
    assert "would" in {step["result"] for step in would["steps"]}
    assert read_weights(weights_path(stepdown.home)) is None

    out = stepdown.regions("evacuate", REGION, "--capacity", "500")
    assert out["ok"]
    assert read_weights(weights_path(stepdown.home)).weights == {REGION: 0, OTHER: 100}
    status = {one["region"]: one for one in stepdown.regions("status", code=1)["regions"]}
    assert (status[REGION]["health"], status[REGION]["out"]) == ("unhealthy", True)
    assert (status[OTHER]["health"], status[OTHER]["answer"]) == ("healthy", OTHER)
    assert status[REGION]["answer"] == OTHER

    last = stepdown.regions("evacuate", OTHER, code=1)
    assert last["steps"][-1]["says"] == f"{OTHER} is the last healthy region"

    before = stepdown.generation()
    with ExitStack() as stack:  # a run that filled the next store and got no farther
        world = running_world(stepdown.home)
        made = rebuilding(world, REGION, report=lambda _share, _what: None, stack=stack)
        assert made.store.build(made.report)["shard 0"] > 0
        assert made.store.built
        known, sampled = made.store.compare(made.servers.clients)
        assert known == sampled > 0
    assert stepdown.generation() == before
    rebuilt = stepdown.regions("rebuild", REGION)
    assert rebuilt["steps"][-1]["result"] == "done"
    assert stepdown.generation() != before
    assert not (stepdown.home / REGION / "datastore.next").exists()

    back = stepdown.regions("restore", REGION, "--bake", "1")
    assert [step["result"] for step in back["steps"]].count("done") >= 5
    assert stepdown.regions("status")["regions"][0]["weight"] == 100
    again = {step["step"]: step["result"] for step in stepdown.regions("restore", REGION)["steps"]}
    # What only looks may have to wait for a moment; nothing is changed.
    changing = {step: result for step, result in again.items() if "%" in step or "switched" in step}
    assert set(changing.values()) == {"already"}
    assert len(changing) == 5


def test_a_region_that_does_not_run_is_a_users_mistake(tmp_path):
    home = TwoRegions(tmp_path, 1_024)
    for words in (("evacuate", REGION), ("restore", REGION), ("rebuild", REGION), ("status",)):
        ran = home.run("regions", *words)
        assert ran.returncode == 2
        assert "nothing was started in" in ran.stderr
