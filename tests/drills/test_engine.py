"""A drill by command, on one region; and that it goes red when the service is broken for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from regions.world.plan import ProcessState
from tests.conftest import REGION

# A busy test machine may answer late, and its load generator may lag; that every attempt is
# answered is what is tested here.
BUSY = ("--deadline", "1900", "--lag-max", "2000", "--stolen-max", "1")
RUN = ("drill", "run", "datastore-killed", "--smoke", "--rate", "25", *BUSY, "--json")
DATASTORE = f"{REGION}/datastore"
# What is easily written and never noticed while all is well: a wait where a rung is passed over.
SEEDED_FAULT = """
import time
from fallback.ladder import Ladder

well = Ladder._try

async def broken(self, *words, **more):
    found = await well(self, *words, **more)
    if any(isinstance(one, BaseException) for one in found):
        time.sleep(2.5)
    return found

Ladder._try = broken
"""


@pytest.fixture
def drill(stepdown):
    def run(service):
        done = stepdown(*RUN, home=service.home, port_base=service.port)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def test_a_datastore_is_killed_and_every_attempt_is_answered(drilled, drill):
    code, said = drill(drilled)
    [result] = said["drills"]
    assert (code, said["passed"], result["state"]) == (0, True, "passed"), result["problems"]
    assert (result["name"], result["row"], result["failed"]) == ("datastore-killed", 1, 0)
    assert result["requests"] > 100
    assert result["rungs"].get("batch", 0) > 0.3
    assert result["availability"] == 1
    assert 0.9 < result["availability_lower_95"] < 1
    assert result["recovery_s"] is not None
    assert said["seed"] == 7
    assert {process.state for process in drilled.world.status().processes} == {"ready"}


def test_a_drill_that_is_ended_gives_back_what_it_took_away(drilled):
    words = ("drill", "run", "datastore-mute", "--phases", "1", *BUSY, "--json")
    command = [sys.executable, "-c", "from app.cli import main; main()", *words]
    with subprocess.Popen([*command, "--home", str(drilled.home)], stdout=subprocess.PIPE) as drill:
        _until(lambda: drilled.world.process(DATASTORE).state is ProcessState.PAUSED)
        drill.terminate()
        assert drill.wait(timeout=20) == 128 + signal.SIGTERM
    assert drilled.world.process(DATASTORE).state is ProcessState.READY


def test_a_wait_on_the_way_down_the_ladder_turns_it_red(services, drill, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SEEDED_FAULT)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with services() as broken:
        monkeypatch.undo()  # only the service is broken, not the drill
        code, said = drill(broken)
    [result] = said["drills"]
    assert (code, said["passed"], result["state"]) == (1, False, "failed"), result
    assert result["failed"] > 0


def _until(so, within_s=60.0):
    ends_s = time.monotonic() + within_s
    while not so():
        assert time.monotonic() < ends_s
        time.sleep(0.05)
