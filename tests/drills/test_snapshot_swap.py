"""A new snapshot under load: readers go from one to the next, and nobody notices."""

import asyncio
import json
import urllib.request

from app.features.reference import REFERENCE
from app.features.snapshot import publish_snapshot
from app.models.training.history import load_history
from app.models.training.inputs import snapshot_batches
from app.publish import adopt, current, roll_back
from app.registry import DEMO_TENANT, Registry
from app.samples import load_samples
from chaos.load import Load

SWAPS = 3


def snapshot_in_force(service):
    with urllib.request.urlopen(f"{service.operations}/readyz") as answer:
        return json.load(answer)["versions"]["snapshot"]


def test_snapshots_are_swapped_under_load_without_a_failed_attempt(drilled, trained):
    registry = Registry(drilled.home)
    source, target = registry.folder / "snapshot", drilled.published / "snapshot"
    first = current(target)
    history = load_history(trained / "data")
    batches = list(snapshot_batches(history, REFERENCE, history.end_ms))
    load = Load(
        drilled.api,
        key=drilled.key,
        bodies=[sample.body for sample in load_samples(drilled.home)],
        rate=30,
        deadline_ms=1_900.0,
    )

    async def swap():
        async with load.running():
            for number in range(1, SWAPS + 1):
                await asyncio.to_thread(
                    publish_snapshot,
                    source,
                    tenant=DEMO_TENANT,
                    schema=REFERENCE.schema,
                    columns=REFERENCE.snapshot_columns,
                    batches=batches,
                    as_of_ms=history.end_ms + number,
                )
                version = adopt(source, target)
                for _ in range(100):
                    await asyncio.sleep(0.1)
                    if await asyncio.to_thread(snapshot_in_force, drilled) == version:
                        break
                else:
                    raise AssertionError("the scorers did not follow")

    try:
        asyncio.run(swap())
    finally:
        roll_back(source, first)
        adopt(source, target)
    assert len(load.outcomes) > 30
    assert [outcome.failure for outcome in load.outcomes if outcome.failure] == []
    assert {outcome.rung for outcome in load.outcomes} == {"full"}
