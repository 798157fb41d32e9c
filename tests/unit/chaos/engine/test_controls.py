"""A control starts every scorer again, weakened; and again as it was, whatever happens meanwhile."""

from __future__ import annotations

import pytest

from chaos.engine.control_names import ControlName
from chaos.engine.controls import CONTROLS, without
from chaos.engine.spec import load_drills


class World:
    def __init__(self):
        self.told = []

    def hold(self, name, signal):
        self.told.append(("hold", name, signal))

    def release(self, name, environment):
        self.told.append(("release", name, environment.get("STEPDOWN_WEAKENED")))

    def wait_ready(self, name, timeout_s):
        self.told.append(("ready", name, timeout_s > 0))


class Ground:
    regions = ("us", "eu")

    def __init__(self):
        self.world = World()


def weakened(ground):
    return [what for did, _, what in ground.world.told if did == "release"]


def test_each_control_has_a_drill():
    assert set(CONTROLS) == set(ControlName)
    assert {one.drill for one in CONTROLS.values()} <= load_drills().keys()


def test_all_scorers_are_weakened_and_afterwards_as_they_were():
    ground = Ground()
    with without(ground, ControlName.BREAKER_OFF):
        assert weakened(ground) == ["breakers", "breakers"]
    assert weakened(ground) == ["breakers", "breakers", None, None]


def test_they_are_as_they_were_though_the_drill_could_not_be_run():
    ground = Ground()
    with pytest.raises(RuntimeError), without(ground, ControlName.RUNGS_REMOVED):
        raise RuntimeError
    assert weakened(ground) == ["lower-rungs", "lower-rungs", None, None]


@pytest.mark.parametrize("control", [None, ControlName.FAILOVER_OFF])
def test_without_a_weakened_scorer_nothing_is_started_again(control):
    ground = Ground()
    with without(ground, control):
        pass
    assert ground.world.told == []
