"""An episode that proves nothing is run again, unless it hides a failure of ours by that."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import pytest

from chaos.engine import running
from chaos.engine.running import AGAIN_MAX, AGAIN_TAKEN_MAX, Options, run_drill
from chaos.engine.spec import load_drills
from tests.unit.chaos.engine.test_kept import episode as kept


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a drill of one episode that comes out as said, run by run; the result."""

    def of(*episodes):
        left = list(episodes)
        monkeypatch.setattr(running, "run_episode", lambda *_, **__: left.pop(0))
        monkeypatch.setattr(running, "ensure_bodies", lambda *_, **__: tmp_path)
        monkeypatch.setattr(running, "read_bodies", lambda _: [])
        monkeypatch.setattr(running, "wait_until_ours", lambda _: True)
        ground = SimpleNamespace(home=tmp_path, region="us-east-1")
        drill = msgspec.structs.replace(load_drills()["region-mute"], phases=1)
        return run_drill(ground, drill, Options(), report=lambda *_: None).result

    return of


def episode(*, late=0.0, failed=0, stolen=0.0, still_ms=0.0):
    return msgspec.structs.replace(
        kept(0),
        lag_p999_ms=late,
        failed=failed,
        stolen=stolen,
        still_ms=still_ms,
        requests=10,
        before=100,
        before_steady=100,
    )


def test_one_that_is_well_is_run_once(run):
    assert (run(episode()).void, run(episode()).again) == (0, 0)


def test_one_whose_generator_was_late_is_run_again(run):
    result = run(episode(late=9.0), episode(late=1.0))
    assert (result.void, result.again) == (0, 1)


def test_one_with_a_failure_stands_however_late(run):
    result = run(episode(late=9.0, failed=1))
    assert (result.state, result.again, result.failed) == ("void", 0, 1)


def test_one_whose_processors_were_taken_away_is_run_again_and_what_failed_is_told(run):
    result = run(episode(stolen=0.3, failed=2), episode(late=9.0), episode())
    assert (result.void, result.failed) == (0, 0)
    assert (result.again, result.again_failed) == (2, 2)


def test_one_in_which_the_machine_stood_still_is_run_again_and_what_failed_is_told(run):
    result = run(episode(still_ms=180.0, failed=4), episode(still_ms=4.0))
    assert (result.void, result.failed) == (0, 0)
    assert (result.again, result.again_failed, result.still_ms) == (1, 4, 4.0)


def test_processors_that_were_taken_away_use_up_no_run_of_a_late_generator(run):
    taken = [episode(stolen=0.3)] * (AGAIN_MAX + 1)
    assert run(*taken, episode(late=9.0), episode()).void == 0


def test_one_whose_processors_are_taken_away_for_good_is_void(run):
    result = run(*[episode(stolen=0.3, failed=1)] * (AGAIN_TAKEN_MAX + 1))
    assert (result.state, result.again) == ("void", AGAIN_TAKEN_MAX)
    assert "30% of the processor time" in result.problems[0]
    stood = run(*[episode(still_ms=60.0, failed=1)] * (AGAIN_TAKEN_MAX + 1))
    assert "stood still for 60 ms" in stood.problems[0]


def test_it_is_given_up_after_a_while(run):
    result = run(*[episode(late=9.0)] * (AGAIN_MAX + 1))
    assert (result.state, result.again) == ("void", AGAIN_MAX)
