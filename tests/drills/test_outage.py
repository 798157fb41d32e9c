"""Stream and object storage away: answers go on, and every decision is counted once."""

import asyncio

import redis

from app.samples import load_samples
from chaos.load import Load
from chaos.outage import run_outage


def test_with_stream_and_object_storage_away_every_attempt_is_answered_and_counted_once(
    drilled,
):
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
    outage = asyncio.run(
        run_outage(
            drilled.world,
            load,
            folder=drilled.home / region,
            region=region,
            store=store,
            hold_s=4.0,
        )
    )
    store.close()
    assert outage.passed, outage
    assert outage.drained_s is not None
    assert outage.decisions > 150
    assert (drilled.home / region / "object-storage").is_dir()
