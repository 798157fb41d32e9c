"""Stream and object storage away: answers go on, and every decision is counted once."""

import asyncio

import redis

from app.samples import load_samples
from chaos.load import Load
from chaos.outage import run_outage


def test_with_stream_and_object_storage_away_every_attempt_is_answered_and_counted_once(
    fresh_service,
):
    load = Load(
        fresh_service.api,
        key=fresh_service.key,
        bodies=[sample.body for sample in load_samples(fresh_service.home)],
        rate=30,
        deadline_ms=1_900.0,
    )
    region = fresh_service.region
    store = redis.Redis(
        port=fresh_service.world.status().port(f"{region}/datastore"),
        password=(fresh_service.home / "secrets" / "datastore").read_text().strip(),
        protocol=2,
    )
    outage = asyncio.run(
        run_outage(
            fresh_service.world,
            load,
            folder=fresh_service.home / region,
            region=region,
            store=store,
            hold_s=4.0,
        )
    )
    store.close()
    assert outage.passed, outage
    assert outage.drained_s is not None
    assert outage.decisions > 150
    assert (fresh_service.home / region / "object-storage").is_dir()
