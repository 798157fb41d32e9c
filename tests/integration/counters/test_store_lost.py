"""A store of counters that loses something, and is built up again."""

from __future__ import annotations

import shutil

import pytest
import redis

from app.features.applier import APPLIED_KEY
from app.features.packed import key
from app.features.reference import REFERENCE
from app.features.spec import Entity
from fallback.errors import (
    SourceUnavailable,
)
from tests.integration.counters.setting import (
    TENANT,
    ask,
    assert_exact,
    drain,
    force_heartbeat,
    history,
    ids_of,
)


async def test_a_flushed_store_is_cold_until_it_is_built_up_again(region, store_of):
    events = history(1_300)
    region.record(events)
    applier, store = region.applier(), store_of(region)
    drain(applier)
    before = region.applied.generation
    region.servers[0].client.flushall()

    with pytest.raises(SourceUnavailable, match="cold"):
        await ask(store, ids_of())
    with pytest.raises(redis.WatchError):
        force_heartbeat(applier)
    with pytest.raises(SourceUnavailable, match="cold"):
        await ask(store, ids_of())

    applier.connect()
    with pytest.raises(SourceUnavailable, match="being built up"):
        await ask(store, ids_of())
    applier.step()
    with pytest.raises(SourceUnavailable, match="being built up"):
        await ask(store, ids_of())
    drain(applier)
    assert region.applied.generation != before
    await assert_exact(store, events)


def test_a_store_is_ready_once_the_applier_has_caught_up_under_traffic(region):
    region.record(history(600))
    applier = region.applier()
    applier.step()
    assert not region.applied.ready
    region.record(history(5))
    applier.step()
    assert region.applied.ready


async def test_values_left_behind_by_a_lost_marker_are_not_counted_twice(region, store_of):
    events = history(300)
    region.record(events)
    region.apply()
    server = region.servers[0].client
    server.set(f"{TENANT}:attempt:a1", "of somebody else")
    server.delete(APPLIED_KEY)
    region.apply()
    await assert_exact(store_of(region), events)
    assert server.get(f"{TENANT}:attempt:a1") == b"of somebody else"


async def test_a_marker_that_cannot_be_read_is_as_good_as_none(region, store_of):
    events = history(300)
    region.record(events)
    region.apply()
    region.servers[0].client.set(APPLIED_KEY, b"\xc1")
    region.apply()
    await assert_exact(store_of(region), events)


async def test_a_cold_store_is_rebuilt_from_history_before_the_stream_goes_on(region, store_of):
    events = history(600)
    region.record(events[:400])
    region.apply()
    server = region.servers[0].client
    kept = {name: server.get(name) for name in server.scan_iter(match=f"{TENANT}:*")}
    reached = region.applied.positions
    region.record(events[400:])
    server.flushall()

    def rebuild(client, applied):
        assert not applied.ready
        client.mset(kept)
        return reached

    applier = region.applier(rebuild=rebuild)
    assert drain(applier) == 200
    await assert_exact(store_of(region), events)


async def test_a_rebuild_that_was_cut_off_is_done_again_from_nothing(region, store_of):
    events = history(300)
    region.record(events)
    name = key(TENANT, Entity.CARD, "card_0")
    other = region.applier()
    drain(other)
    value = region.servers[0].client.get(name)
    region.servers[0].client.flushall()

    def cut_off(client, applied):
        client.set(name, value)
        raise redis.ConnectionError("the history is away")

    with pytest.raises(redis.ConnectionError):
        region.applier(rebuild=cut_off)
    with pytest.raises(SourceUnavailable, match="being built up"):
        await ask(store_of(region), ids_of())
    drain(region.applier(rebuild=lambda _client, _applied: {}))
    await assert_exact(store_of(region), events)


async def test_a_restarted_datastore_is_gone_on_with(region, store_of):
    events = history(600)
    region.record(events[:300])
    applier = region.applier()
    drain(applier)
    region.servers[0].kill()
    region.record(events[300:])
    with pytest.raises(redis.ConnectionError):
        applier.step()
    region.servers[0].start()
    applier.connect()
    drain(applier)
    await assert_exact(store_of(region), events)


async def test_a_datastore_that_lost_its_last_writes_is_healed_by_replay(region, store_of):
    events = history(600)
    server = region.servers[0]
    region.record(events[:300])
    region.apply()
    before = region.applied
    shutil.copytree(server.folder / "appendonlydir", server.folder / "backup")
    region.record(events[300:])
    region.apply()

    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    (server.folder / "backup").rename(server.folder / "appendonlydir")
    server.start()
    assert region.applied == before
    region.apply()
    assert region.applied.generation == before.generation
    await assert_exact(store_of(region), events)


def test_counters_expire_once_nothing_in_them_counts(region):
    region.record(history(50))
    region.apply()
    server = region.servers[0].client
    for entity in REFERENCE.entities:
        for name in server.scan_iter(match=f"{TENANT}:{entity}:*"):
            horizon_ms = REFERENCE.horizon_ms(entity)
            assert horizon_ms < server.pttl(name) <= 2 * horizon_ms
    assert server.ttl(APPLIED_KEY) == -1
