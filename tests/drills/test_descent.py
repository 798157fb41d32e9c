"""The promise in small: nothing that is taken away costs an answer."""

import asyncio

from app.samples import load_samples
from chaos.descent import run_descent
from chaos.load import Load

# A busy test machine may answer late; that every attempt is answered is what is tested here.
ANSWERED_WITHIN_MS = 1_900.0


def test_the_ladder_descends_to_the_last_rung_and_climbs_back_without_a_failed_request(
    drilled,
):
    load = Load(
        drilled.api,
        key=drilled.key,
        bodies=[sample.body for sample in load_samples(drilled.home)],
        rate=25,
        deadline_ms=ANSWERED_WITHIN_MS,
    )
    before = {process.name: process.pid for process in drilled.world.status().processes}

    descent = asyncio.run(
        run_descent(
            drilled.world,
            load,
            published=drilled.published,
            stores=[f"{drilled.region}/datastore"],
            hold_s=1.5,
        )
    )

    assert descent.requests > 200
    assert descent.failed == 0, [step.failures for step in descent.steps]
    assert [step.expected for step in descent.steps] == [
        *("full", "batch", "rules", "rules", "tier_default", "full"),
    ]
    for step in descent.steps:
        assert step.settled_s is not None, step
        assert step.settled_s <= 10.0, step
        assert step.rungs[step.expected] >= 0.9, step
    why = [step.why for step in descent.steps]
    assert why[0] == why[-1] == {}
    assert set(why[1]) == {"full"}
    assert why[2] == {"full": "snapshot_unavailable", "batch": "snapshot_unavailable"}
    assert why[4]["rules"] == "rules_unavailable"

    after = {process.name: process.pid for process in drilled.world.status().processes}
    restarted = {name for name in before if before[name] != after[name]}
    assert restarted == {f"{drilled.region}/datastore"}, "only what was killed was restarted"
