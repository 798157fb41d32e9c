"""Whatever is away, answers go on, and every decision is counted once."""

import asyncio

import pytest
import redis

from app.samples import load_samples
from chaos.load import Load
from chaos.outage import emptied, outage, run_outage


@pytest.mark.parametrize("fault", [outage, emptied])
def test_every_attempt_is_answered_and_counted_once(drilled, fault):
    load = Load(
        drilled.api,
        key=drilled.key,
        bodies=[sample.body for sample in load_samples(drilled.home)],
        rate=30,
        deadline_ms=1_900.0,
    )
    region = drilled.region
    store = redis.Redis(
        port=drilled.world.status().port(f"{region}/datastore"),
        password=(drilled.home / "secrets" / "datastore").read_text().strip(),
        protocol=2,
    )
    found = asyncio.run(
        run_outage(
            load,
            fault(drilled.world, region, drilled.home / region),
            folder=drilled.home / region,
            store=store,
            hold_s=3.0,
        )
    )
    store.close()
    assert found.passed, found
    assert found.drained_s is not None
    assert found.decisions > 150
    assert (drilled.home / region / "object-storage").is_dir()
