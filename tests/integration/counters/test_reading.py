"""Counters from the journal through a real datastore to what a model sees."""

from __future__ import annotations

import random

import numpy as np
import pytest

from app.features.events import Counted
from app.features.reference import REFERENCE
from app.features.spec import DAY_MS, HOUR_MS, Entity
from tests.integration.counters.setting import (
    CARDS,
    EVERYBODY,
    INPUT,
    Event,
    ask,
    assert_exact,
    expected,
    history,
    ids_of,
    wall_ms,
)


async def test_what_is_read_is_what_the_events_say(region, store_of):
    events = history(1_300)
    region.record(events)
    region.apply()
    await assert_exact(store_of(region), events)


async def test_weeks_of_events_are_read_as_they_were(region, store_of):
    events = history(800, span_ms=50 * DAY_MS)
    region.record(events)
    region.apply()
    seen = await ask(store_of(region), ids_of())
    assert seen.inputs[INPUT["merchant_fraud_rate_28d"]] > 0
    await assert_exact(store_of(region), events)


async def test_late_events_count_in_the_bucket_of_their_own_time(region, store_of):
    events = history(300, span_ms=HOUR_MS - 1)
    region.record(random.Random(3).sample(events, len(events)))
    region.apply()
    await assert_exact(store_of(region), events)


async def test_each_entity_says_what_is_known_of_it(region, store_of):
    ids = {Entity.CARD: "card_0", Entity.DEVICE: "device_0"}
    region.record(
        [Event(wall_ms() - 5, Counted.ATTEMPTED, 100, {e.value: i for e, i in ids.items()})]
    )
    region.apply()
    seen = await ask(store_of(region), {Entity.CARD: "card_0", Entity.DEVICE: "unheard_of"})
    states = dict(zip(REFERENCE.entities, seen.states, strict=True))
    assert states[Entity.CARD] == b"present"
    assert states[Entity.DEVICE] == b"never_seen"
    assert states[Entity.IP] == b"not_mapped"
    known = {name: seen.inputs[at] for name, at in INPUT.items()}
    assert known["card_attempted_1h"] == 1
    assert known["device_attempted_1h"] == known["device_cards_24h"] == 0
    assert np.isnan(known["ip_attempted_1h"])


async def test_what_is_past_its_horizon_was_never_seen(region, store_of):
    card = {"card": "card_0"}
    long_ago = wall_ms() - REFERENCE.horizon_ms(Entity.CARD) - DAY_MS
    region.record([Event(long_ago, Counted.ATTEMPTED, 100, card)])
    region.apply()
    seen = await ask(store_of(region), {Entity.CARD: "card_0"})
    assert seen.states[0] == b"never_seen"
    assert seen.inputs[INPUT["card_attempted_24h"]] == 0
    assert np.isnan(seen.inputs[INPUT["card_since_last_s"]])


async def test_positions_and_age_are_told_with_the_values(region, store_of):
    region.record(history(10))
    region.apply()
    seen = await ask(store_of(region), ids_of())
    assert seen.positions == {"us-east-1/0": {"0/0": (1, 10)}}
    assert 0 <= seen.age_ms < 5_000


async def test_tenants_are_kept_apart(region, store_of):
    region.record(history(50))
    region.apply()
    seen = await ask(store_of(region), ids_of(), tenant="other")
    assert set(seen.states) == {b"never_seen"}


async def test_two_sources_are_merged_by_adding_and_by_or(regions, store_of):
    ours, theirs = history(300, seed=1), history(300, seed=2)
    here, there = regions("us-east-1"), regions("eu-west-1")
    here.record(ours)
    there.record(theirs)
    here.apply()
    there.apply()
    store = store_of(here, there)
    for ids in EVERYBODY[:CARDS]:
        seen = await ask(store, ids)
        # The fraction of the oldest bucket is taken in each region: the sum of two roundings.
        assert seen.inputs.tolist() == pytest.approx(
            expected(ours + theirs, ids, seen.as_of_ms), rel=1e-6, nan_ok=True
        )
    assert set(seen.positions) == {"us-east-1/0", "eu-west-1/0"}


async def test_two_shards_hold_everything_between_them(regions, store_of):
    events = history(600)
    region = regions(shards=2)
    region.record(events)
    region.apply()
    assert all(server.client.dbsize() > 1 for server in region.servers)
    await assert_exact(store_of(region), events)
