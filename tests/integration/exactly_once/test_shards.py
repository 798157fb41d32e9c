"""Shards of one process, one of them away or empty: every event counts once."""

from __future__ import annotations

from app.features.counter_store import shard_of
from app.record.frames import Kind
from tests.integration.exactly_once.setting import (
    TENANT,
    applied_of,
    apply_all,
    modelled,
    shards_on,
    stored,
)


def test_a_shard_that_is_away_does_not_hold_up_the_others_and_catches_up(valkeys, traffic_on):
    here, away = valkeys(), valkeys()
    traffic = traffic_on()
    shards = shards_on(traffic.folder, lambda: here, lambda: away)
    traffic.append(700)
    apply_all(shards, traffic, here, away)
    away.kill()
    traffic.append(700)
    apply_all(shards, traffic, here)
    away.start()
    traffic.append(700)
    apply_all(shards, traffic, here, away)
    assert stored([here.client, away.client]) == modelled(traffic.events)
    for number, store in enumerate((here, away)):
        names = [name.decode() for name in store.client.scan_iter(match=f"{TENANT}:*")]
        assert {shard_of(name, 2) for name in names} == {number}


def test_shards_in_step_share_what_is_read(valkeys, traffic_on):
    one, other = valkeys(), valkeys()
    traffic = traffic_on()
    traffic.journals[0].append(Kind.DECISION, b"\xc1 is no MessagePack")
    traffic.append(100)
    shards = shards_on(traffic.folder, lambda: one, lambda: other)
    apply_all(shards, traffic, one, other)
    assert shards.counted()["events_unreadable"] == 1


def test_a_primary_that_comes_back_empty_is_built_up_again(valkeys, traffic_on):
    primary = valkeys()
    traffic = traffic_on()
    shards = shards_on(traffic.folder, lambda: primary)
    traffic.append(1_300)
    apply_all(shards, traffic, primary)
    generation = applied_of(primary.client).generation
    primary.client.flushall()
    apply_all(shards, traffic, primary)
    assert stored([primary.client]) == modelled(traffic.events)
    assert applied_of(primary.client).generation != generation
