"""Restoration: what must be there first, four parts, and when they are taken back."""

from __future__ import annotations

import msgspec
import pytest

from app.features.applier import Applied
from regions.operations.facts import ABSENT, RegionFacts
from regions.operations.restore import Restoration, judged
from regions.operations.stores import behind

REGION = "us-east-1"
PARTS = [f"{REGION} has {percent} % of its traffic" for percent in (1, 10, 50, 100)]


@pytest.fixture
def restoration(world):
    world.watch.set_weight(REGION, 0)
    world.set_out(REGION)
    world.now_s += 60
    world.done.clear()
    return Restoration(watch=world.watch, region=REGION, behind=lambda _region: {}, bake_s=20.0)


def changed(world, region, **facts):
    world.facts[region] = msgspec.structs.replace(world.facts[region], **facts)


def test_a_region_gets_its_traffic_in_four_parts_and_dns_at_last(world, restoration):
    weights = []
    set_in = world.set_in
    world.set_in = lambda region: (weights.append(world.watch.weights()[region]), set_in(region))
    results, last = world.run(restoration)
    assert [results[part] for part in PARTS] == ["done"] * 4
    assert weights == [100]
    assert world.done == [f"in {REGION}"]
    assert (last.step, last.result) == (f"DNS names {REGION} again", "already")
    assert world.now_s - 1_060 >= 4 * 20


def test_restoring_twice_changes_nothing(world, restoration):
    world.run(restoration)
    results, _ = world.run(restoration)
    assert set(results.values()) == {"already"}


def test_a_restoration_that_was_cut_short_goes_on_from_its_part(world, restoration):
    world.watch.set_weight(REGION, 10)
    results, _ = world.run(restoration)
    assert [results[part] for part in PARTS] == ["already", "already", "done", "done"]


def test_a_dry_run_gives_nothing(world, restoration):
    results, _ = world.run(restoration, dry_run=True)
    assert [results[part] for part in PARTS] == ["would"] * 4
    assert world.watch.weights()[REGION] == 0
    assert world.done == []


def test_a_region_without_its_full_rung_gets_nothing(world, restoration):
    changed(world, REGION, rungs={"full": False, "batch": True})
    _, last = world.run(restoration)
    assert (last.step, last.says) == (f"{REGION} can serve", "its full rung cannot be served")
    assert world.watch.weights()[REGION] == 0


def test_stale_counters_of_it_elsewhere_keep_it_out(world, restoration):
    changed(world, "eu-west-1", ages={f"counters:{REGION}": 31.0})
    _, last = world.run(restoration)
    assert last.step == "counters are fresh"
    assert last.says == f"the oldest is counters:{REGION} in eu-west-1, 31.0 s"


def test_a_copy_that_lacks_events_keeps_it_out(world, restoration):
    late = Restoration(
        watch=world.watch,
        region=REGION,
        behind=lambda region: {"eu-west-1": f"lacks events of 2 writers of {region}"},
        bake_s=1.0,
    )
    _, last = world.run(late)
    assert last.says == f"that in eu-west-1 lacks events of 2 writers of {REGION}"
    assert last.ends


def test_a_third_region_that_is_away_does_not_keep_it_out(world, restoration):
    world.facts["ap-southeast-1"] = ABSENT
    changed(world, REGION, ages={f"counters:{REGION}": 0.1, "counters:ap-southeast-1": 900.0})
    without = Restoration(
        watch=world.watch,
        region=REGION,
        behind=lambda _region: {"ap-southeast-1": "does not answer"},
        bake_s=1.0,
    )
    results, last = world.run(without)
    assert not last.ends
    assert results[PARTS[-1]] == "done"


def test_errors_during_a_part_take_everything_back(world, restoration):
    sleep = world.sleep

    def failing(seconds):
        sleep(seconds)
        if world.watch.weights()[REGION] == 10:
            changed(world, REGION, errors=world.facts[REGION].errors + 1)

    world.sleep = failing
    _, last = world.run(restoration)
    assert (last.step, last.result) == (PARTS[1], "failed")
    assert last.says.startswith("aborted: ")
    assert last.says.endswith("; undone")
    assert world.watch.weights()[REGION] == 0
    assert world.is_out(REGION)


def facts(full=0, batch=0, *, errors=0, scorers=1, can=True):
    by_rung = {"full": full, "batch": batch}
    rungs = {"full": can}
    return RegionFacts(reachable=True, scorers=scorers, rungs=rungs, by_rung=by_rung, errors=errors)


def after(own, other):
    return judged("a", {"a": facts(), "b": facts()}, {"a": own, "b": other})


@pytest.mark.parametrize(
    ("own", "other", "why"),
    [
        (facts(1_000), facts(1_000), None),
        (facts(1_000, errors=1), facts(1_000), None),
        (facts(1_000, errors=2), facts(1_000), "2 errors in 1000 decisions"),
        (facts(10, errors=1), facts(1_000), "1 errors in 10 decisions"),
        (facts(scorers=0), facts(1_000), "it has no scorers"),
        (facts(can=False), facts(1_000), "it cannot serve its full rung, and others can"),
        (facts(can=False), facts(can=False), None),
        (facts(95, 5), facts(100), None),
        (facts(85, 15), facts(100), "85% of its decisions are of the full rung, elsewhere 100%"),
        (facts(0, 30), facts(100), None),
        (facts(85, 15), facts(30, 70), None),
    ],
)
def test_a_part_is_judged_by_errors_and_by_what_the_others_answer_with(own, other, why):
    assert after(own, other) == why


def applied(generation="g", **positions):
    return Applied(generation=generation, ready=True, as_of_ms=0, positions=positions)


def test_a_copy_is_behind_when_it_lacks_what_the_own_store_has():
    own = applied(w0=(1, 5), w1=(2, 1))
    assert behind(applied(w0=(1, 5), w1=(2, 3)), own) is None
    assert behind(applied(w0=(1, 4), w1=(2, 1)), own) == "lacks events of 1 writers"
    assert behind(applied(w0=(1, 9)), own) == "lacks events of 1 writers"
    assert behind(applied("h", w0=(1, 5), w1=(2, 1)), own) == "is of another generation"
    assert behind(None, own) == "is cold"
