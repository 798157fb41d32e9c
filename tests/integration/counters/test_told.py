"""What a decision is told where counters are damaged, old, cold or away."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from app.features.applier import APPLIED_KEY
from app.features.packed import key
from app.features.reference import REFERENCE
from app.features.spec import Entity
from fallback.breaker_states import StateName
from fallback.errors import (
    BreakerOpen,
    DeadlineNear,
    DependencyCorrupt,
    DependencyUnavailable,
    FeaturesStale,
    SourceUnavailable,
)
from tests.integration.counters.setting import (
    AGE_MAX_MS,
    POLICY,
    TENANT,
    TIMEOUT_MS,
    ask,
    ask_all,
    assert_exact,
    drain,
    expected,
    history,
    ids_of,
    wall_ms,
)


async def test_a_corrupt_value_concerns_its_own_entity_alone(region, store_of):
    events = history(200)
    region.record(events)
    region.apply()
    region.servers[0].client.set(key(TENANT, Entity.CARD, "card_1"), b"SD nonsense")
    store = store_of(region)
    asks = [ids_of(card=card) for card in range(3)]
    alone, *seen = await ask_all(store, [{Entity.CARD: "card_1"}, *asks])
    assert isinstance(alone, DependencyCorrupt)
    assert alone.dependency == "us-east-1"
    for one, ids in zip(seen, asks, strict=True):
        wanted = expected(events, ids, one.as_of_ms)
        if ids[Entity.CARD] == "card_1":
            assert one.states[0] == b"unavailable"
            wanted = [
                np.nan if "card" in feature.counters[0].split("_")[0] else value
                for feature, value in zip(REFERENCE.features, wanted, strict=True)
            ]
        assert one.inputs.tolist() == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)


async def test_a_corrupt_marker_is_evidence_against_the_source(region, store_of):
    region.apply()
    region.servers[0].client.set(APPLIED_KEY, b"\xc1")
    store = store_of(region)
    for _ in range(POLICY.minimum_calls):
        with pytest.raises(DependencyCorrupt):
            await ask(store, ids_of())
    with pytest.raises(BreakerOpen):
        await ask(store, ids_of())


async def test_a_cold_store_does_not_open_the_breaker(region, store_of):
    store = store_of(region)
    for _ in range(2 * POLICY.minimum_calls):
        with pytest.raises(SourceUnavailable):
            await ask(store, ids_of())
    assert store.sources[0].breakers[0].state is StateName.CLOSED


async def test_stale_counters_are_refused(region, store_of):
    region.record(history(10))
    region.apply()
    late = store_of(region, now_ms=lambda: wall_ms() + AGE_MAX_MS + 1_000)
    with pytest.raises(FeaturesStale):
        await ask(late, ids_of())
    await ask(store_of(region), ids_of())


async def test_an_applier_with_a_backlog_does_not_pass_for_fresh(region, store_of):
    events = history(1_300)
    region.apply()
    region.record(events, written_ms=wall_ms() - AGE_MAX_MS - 1_000)
    applier, store = region.applier(), store_of(region)
    applier.step()
    with pytest.raises(FeaturesStale):
        await ask(store, ids_of())
    drain(applier)
    await assert_exact(store, events)


async def test_with_one_of_two_sources_away_the_other_ones_counters_are_told(regions, store_of):
    events = history(200)
    here, there = regions("us-east-1"), regions("eu-west-1")
    here.record(events)
    here.apply()
    there.apply()
    there.servers[0].kill()
    store = store_of(here, there)
    seen = await ask(store, ids_of())
    assert seen.regions_present == 0.5
    assert seen.missing == {"regions"}
    assert set(seen.positions) == {"us-east-1/0"}
    await assert_exact(store, events)


async def test_with_a_shard_away_what_lives_on_it_is_unavailable(regions, store_of):
    region = regions(shards=2)
    region.record(history(200))
    region.apply()
    region.servers[1].kill()
    seen = await ask(store_of(region), ids_of())
    assert {b"present", b"unavailable"} <= set(seen.states)
    assert seen.missing == {"entities"}


async def test_with_every_source_away_the_read_is_refused(region, store_of):
    region.apply()
    region.servers[0].kill()
    with pytest.raises(DependencyUnavailable) as caught:
        await ask(store_of(region), ids_of())
    assert caught.value.dependency == "us-east-1"


async def test_a_dead_datastore_opens_the_breaker_and_a_returned_one_closes_it(region, store_of):
    events = history(100)
    region.record(events)
    region.apply()
    store, server = store_of(region), region.servers[0]
    await ask(store, ids_of())

    server.kill()
    while store.sources[0].breakers[0].state is StateName.CLOSED:
        started_s = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await ask(store, ids_of())
        assert time.monotonic() - started_s < TIMEOUT_MS / 1_000
    with pytest.raises(BreakerOpen):
        await ask(store, ids_of())

    server.start()
    await asyncio.sleep(2 * POLICY.open_s_max)
    await assert_exact(store, events)
    assert store.sources[0].breakers[0].state is StateName.CLOSED


async def test_too_little_time_left_asks_nothing(region, store_of):
    store = store_of(region)
    with pytest.raises(DeadlineNear):
        await ask(store, ids_of(), budget_ms=1)
    assert region.servers[0].client.info("commandstats").get("cmdstat_mget") is None
