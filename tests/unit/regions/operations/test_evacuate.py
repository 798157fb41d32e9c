"""Evacuation: who stays, what is turned, and what is waited for."""

from __future__ import annotations

import msgspec
import pytest

from regions.operations.evacuate import Evacuation, room
from regions.operations.facts import ABSENT

REGION = "us-east-1"
HEIR = "another region is healthy"
ROOM = "it can take what leaves"
DRAINED = f"{REGION} answers no checkouts"


@pytest.fixture
def evacuation(world, round_trips):
    def make(*, capacity=100.0):
        return Evacuation(
            watch=world.watch, region=REGION, capacity=capacity, round_trip_ms=round_trips
        )

    return make


def test_a_region_is_evacuated_weight_first_and_everything_is_verified(world, evacuation):
    results, last = world.run(evacuation())
    assert list(results.values()) == ["ok", "ok", *["done"] * 3, "already", "done", "already"]
    assert last.says == "2 of 2, 2 of them on their full rung"
    assert world.watch.weights() == {REGION: 0, "eu-west-1": 100, "ap-southeast-1": 100}
    assert world.done == [f"out {REGION}"]
    assert world.answer_for(REGION) == "eu-west-1"


def test_evacuating_twice_turns_nothing_again(world, evacuation):
    world.run(evacuation())
    results, _ = world.run(evacuation())
    assert set(results.values()) <= {"ok", "already", "done"}
    assert results[f"{REGION} is switched out"] == "already"
    assert world.done == [f"out {REGION}"]


def test_a_dry_run_turns_nothing(world, evacuation):
    results, _ = world.run(evacuation(), dry_run=True)
    assert results[f"{REGION} has weight 0"] == "would"
    assert world.done == []
    assert world.watch.weights()[REGION] == 100


def test_the_last_healthy_region_is_kept_unless_that_is_forced(world, evacuation):
    world.down |= {"eu-west-1", "ap-southeast-1"}
    _, last = world.run(evacuation())
    assert (last.step, last.result) == (HEIR, "refused")
    assert last.says == f"{REGION} is the last healthy region"
    assert world.done == []
    results, _ = world.run(evacuation(), force=True)
    assert results[HEIR] == results[ROOM] == "forced"
    assert world.done == [f"out {REGION}"]


def test_a_region_whose_scorers_are_gone_is_no_heir(world, evacuation):
    for region in ("eu-west-1", "ap-southeast-1"):
        world.facts[region] = ABSENT
    assert world.run(evacuation())[1].says == f"{REGION} is the last healthy region"


def test_traffic_that_the_nearest_region_cannot_take_is_refused(world, evacuation):
    _, last = world.run(evacuation(capacity=15.0))
    assert (last.step, last.result) == (ROOM, "refused")
    assert (
        last.says
        == "eu-west-1 would get 20.0 decisions/s, more than the 15 that a region can answer"
    )
    assert world.done == []


def test_without_a_known_capacity_pressure_alone_is_judged(world, evacuation):
    world.facts["eu-west-1"] = msgspec.structs.replace(world.facts["eu-west-1"], pressure=0.5)
    _, last = world.run(evacuation(capacity=None))
    assert last.says.endswith("and is under pressure already")


def test_room_is_judged_by_all_that_the_heir_would_get(world):
    rates = {"us-east-1": 60.0, "eu-west-1": 50.0}
    found = {
        capacity: room(
            "eu-west-1", world.facts, rates, leaving=REGION, capacity=capacity
        ).state.name
        for capacity in (109.0, 110.0)
    }
    assert found == {109.0: "REFUSED", 110.0: "DONE"}


def test_callers_that_do_not_follow_are_told_and_the_region_stays_out(world, evacuation):
    world.stubborn = True
    _, last = world.run(evacuation())
    assert (last.step, last.result) == (DRAINED, "failed")
    assert "10.0 decisions/s by callers that do not follow" in last.says
    assert world.is_out(REGION)
    assert world.watch.weights()[REGION] == 0


def test_a_region_that_cannot_be_reached_answers_none(world, evacuation):
    world.facts[REGION] = ABSENT
    world.down.add(REGION)
    results, last = world.run(evacuation())
    assert results[DRAINED] == "already"
    assert not last.ends


def test_switching_needs_nobody_who_tells_health(world, evacuation):
    world.blind = True
    _, last = world.run(evacuation())
    assert (last.step, last.result) == (HEIR, "refused")
    results, last = world.run(evacuation(), force=True)
    assert results[HEIR] == results[ROOM] == "forced"
    assert world.is_out(REGION)
    assert world.watch.weights()[REGION] == 0
    assert (last.step, last.says) == (f"the health check of {REGION} is red", "nobody answers")
