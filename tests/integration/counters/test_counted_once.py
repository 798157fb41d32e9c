"""Counters count every event once, whatever happens to the applier and its stream."""

from __future__ import annotations

import pytest
import redis

from app.features.applier import APPLIED_KEY
from app.features.counter_store import Written
from app.features.events import Counted
from app.features.packed import key
from app.features.spec import DAY_MS, Entity
from app.record.frames import Kind
from app.record.journal import open_journal
from app.streams.journal_tail import JournalTail
from tests.integration.counters.setting import (
    INPUT,
    TENANT,
    Event,
    ask,
    assert_exact,
    drain,
    force_heartbeat,
    history,
    wall_ms,
)


async def test_a_crash_between_batches_counts_nothing_twice_and_leaves_nothing_out(
    region, store_of
):
    events = history(1_300)
    region.record(events)
    assert region.applier().step() == 512  # and dies
    region.apply()
    await assert_exact(store_of(region), events)


async def test_a_writer_that_was_opened_again_is_followed(region, store_of):
    events = history(200)
    region.record(events[:100])
    region.apply()
    region.journal.close()
    region.journal = open_journal(region.folder, region=0)
    region.record(events[100:])
    region.apply()
    assert region.applied.positions == {"0/0": (2, 100)}
    await assert_exact(store_of(region), events)


class DeliversTwice(JournalTail):
    """A stream that goes further back than it was told to."""

    def rewind(self, positions):
        super().rewind({})


async def test_what_is_delivered_again_is_not_counted_again(region, store_of):
    events = history(700)
    region.record(events)
    stream = DeliversTwice(region.folder)
    applier = region.applier(stream=stream)
    applier.step()
    stream.rewind({})
    assert drain(applier) == 700
    assert drain(region.applier(stream=DeliversTwice(region.folder))) == 700
    await assert_exact(store_of(region), events)


async def test_a_second_applier_is_fenced(region, store_of):
    events = history(300)
    region.record(events[:100])
    region.apply()
    first, second = region.applier(), region.applier()
    region.record(events[100:])
    drain(first)
    with pytest.raises(redis.WatchError):
        second.step()
    second.connect()
    assert drain(second) == 0
    with pytest.raises(redis.WatchError):
        force_heartbeat(first)
    await assert_exact(store_of(region), events)


async def test_of_two_appliers_that_find_a_store_cold_the_later_one_builds_it(region, store_of):
    events = history(300)
    region.record(events)
    first, second = region.applier(), region.applier()
    with pytest.raises(redis.WatchError):
        first.step()
    assert drain(second) == 300
    first.connect()
    assert drain(first) == 0
    await assert_exact(store_of(region), events)


async def test_a_write_that_another_applier_came_before_changes_nothing(region, store_of):
    events = history(300)
    region.record(events)
    region.apply()
    applier = region.applier()
    server = region.servers[0].client
    found = applier._store.read(["acme:card:card_0"])
    server.set(APPLIED_KEY, server.get(APPLIED_KEY))
    with pytest.raises(redis.WatchError):
        applier._store.write([Written(["acme:card:card_0"], [b"later"], 1_000)], b"marker")
    assert [server.get("acme:card:card_0")] == found
    await assert_exact(store_of(region), events)


async def test_a_record_that_cannot_be_read_is_passed_over(region, store_of):
    events = history(20)
    region.record(events[:10])
    region.journal.append(Kind.DECISION, b"\xc1 is no MessagePack")
    region.journal.append(Kind.LABEL, b"counts once it is joined")
    region.record(events[10:])
    applier = region.applier()
    assert drain(applier) == 22
    assert applier.feed.unreadable == 1
    await assert_exact(store_of(region), events)


async def test_a_value_that_cannot_be_read_is_begun_anew(region, store_of):
    at_ms, card = wall_ms() - 10, {"card": "card_0"}
    region.record([Event(at_ms, Counted.ATTEMPTED, 100, card)] * 3)
    region.apply()
    region.servers[0].client.set(key(TENANT, Entity.CARD, "card_0"), b"nonsense")
    region.record([Event(at_ms, Counted.ATTEMPTED, 100, card)])
    applier = region.applier()
    drain(applier)
    assert applier.unreadable == 1
    seen = await ask(store_of(region), {Entity.CARD: "card_0"})
    assert seen.inputs[INPUT["card_attempted_24h"]] == 1


def test_what_no_window_holds_any_more_is_dropped_and_counted(region):
    card = {"card": "card_0"}
    region.record([Event(wall_ms(), Counted.ATTEMPTED, 100, card)])
    region.record([Event(wall_ms() - 60 * DAY_MS, Counted.ATTEMPTED, 100, card)])
    applier = region.applier()
    drain(applier)
    assert applier.dropped_late == 1


def test_events_far_ahead_of_the_clock_are_counted_as_such(region):
    ahead_ms = [4 * 60_000, 6 * 60_000, 3_600_000]
    region.record(
        [Event(wall_ms() + ms, Counted.ATTEMPTED, 100, {"card": "card_0"}) for ms in ahead_ms]
    )
    applier = region.applier()
    drain(applier)
    assert applier.feed.ahead == 2
