"""Counters from the journal through a real datastore to what a model sees, faults included."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
import redis

from app.features.applier import APPLIED_KEY, Applied, Applier, connect
from app.features.online import OnlineStore, Source
from app.features.packed import distinct_bit, key
from app.features.rings import distinct_of_events, sum_of_events
from app.features.shard import ShardClient, client
from app.features.spec import (
    DAY_MS,
    STREAMING,
    Aggregate,
    Entity,
    counters_of,
)
from app.record.decision import CounterEvent
from app.record.frames import Kind
from app.record.journal import open_journal
from app.streams.journal_tail import JournalTail
from fallback.breaker import Breaker, BreakerPolicy
from fallback.breaker_states import StateName
from fallback.clock import SystemClock
from fallback.deadline import Deadline
from fallback.errors import (
    BreakerOpen,
    DeadlineNear,
    DependencyCorrupt,
    DependencyUnavailable,
    FeaturesStale,
    SourceUnavailable,
)

TENANT = "acme"
CARDS, DEVICES, IPS = 7, 4, 3
AGE_MAX_MS = 30_000
CLOCK = SystemClock()
# Loose enough for a busy machine; what is tested here is not speed.
TIMEOUT_MS = 500
POLICY = BreakerPolicy(
    minimum_calls=3, slow_call_ms=400.0, open_s=0.05, open_s_max=0.1, probes_to_close=1
)


def wall_ms():
    return time.time_ns() // 1_000_000


def history(count, *, seed=1, span_ms=30 * 3_600_000):
    """Events of a few cards, devices and addresses over the last 30 hours, in order of time."""
    rng = random.Random(seed)
    now_ms = wall_ms()
    ages = sorted((rng.randrange(1, span_ms) for _ in range(count)), reverse=True)
    return [event(now_ms - age, rng) for age in ages]


def event(received_ms, rng):
    card = f"card_{rng.randrange(CARDS)}"
    ids = {"card": card, "merchant": "shop", "device": f"device_{rng.randrange(DEVICES)}"}
    if rng.random() < 0.8:
        ids["ip"] = f"ip_{rng.randrange(IPS)}"
    return CounterEvent(
        tenant=TENANT,
        received_ms=received_ms,
        amount_ref=rng.randrange(100, 100_000),
        entities=ids,
        bits={"card": distinct_bit(card)},
    )


def ids_of(card=0, device=0, ip=0):
    return {
        Entity.CARD: f"card_{card}",
        Entity.DEVICE: f"device_{device}",
        Entity.IP: f"ip_{ip}",
    }


EVERYBODY = [ids_of(at % CARDS, at % DEVICES, at % IPS) for at in range(CARDS * DEVICES * IPS)]


def expected(events, ids, as_of_ms):
    """Every counter of one attempt, computed from the events themselves."""
    return [_counted(counter, events, ids[counter.entity], as_of_ms) for counter in STREAMING]


def _counted(counter, events, id, as_of_ms):
    mine = [event for event in events if event.entities.get(counter.entity) == id]
    question = {
        "entity": np.zeros(len(mine), dtype=np.int64),
        "time_ms": np.array([event.received_ms for event in mine], dtype=np.int64),
        "ask_entity": np.zeros(1, dtype=np.int64),
        "ask_ms": np.array([as_of_ms]),
    }
    if counter.aggregate is Aggregate.DISTINCT:
        bits = np.array([event.bits[counter.of] for event in mine], dtype=np.uint64)
        return np.bitwise_count(distinct_of_events(counter.ring, bit=bits, **question)).item()
    summed = counter.aggregate is Aggregate.SUM
    amounts = [event.amount_ref if summed else 1 for event in mine]
    return sum_of_events(counter.ring, value=np.array(amounts, dtype=np.int64), **question).item()


@dataclass
class Region:
    """One home region: its journal, its store's shards, and appliers when asked for."""

    name: str
    journal: object
    folder: object
    servers: list

    def record(self, events, *, written_ms=None):
        for one in events:
            self.journal.append(Kind.DECISION, msgspec.msgpack.encode(one), unix_ms=written_ms)

    def applier(self, *, shard=0, stream=None):
        applier = Applier(
            connect(self.servers[shard].shard, None),
            stream or JournalTail(self.folder),
            shard=shard,
            shards=len(self.servers),
        )
        applier.connect()
        return applier

    def apply(self):
        for shard in range(len(self.servers)):
            drain(self.applier(shard=shard))

    def source(self):
        return Source(
            self.name,
            [
                ShardClient(
                    client(server.shard, password=None, timeout_ms=TIMEOUT_MS), region=self.name
                )
                for server in self.servers
            ],
            breaker=Breaker(self.name, POLICY, clock=CLOCK, rng=random.Random(1)),
        )

    @property
    def applied(self):
        return msgspec.msgpack.decode(self.servers[0].client.get(APPLIED_KEY), type=Applied)


def drain(applier):
    """Apply until there is nothing more. Returns the events taken."""
    taken = 0
    while more := applier.step():
        taken += more
    return taken


@pytest.fixture
def regions(tmp_path, valkeys):
    """Makes regions."""
    made = []

    def make(name="us-east-1", *, shards=1):
        folder = tmp_path / "journals" / name
        journal = open_journal(folder, region=len(made))
        made.append(Region(name, journal, folder, [valkeys() for _ in range(shards)]))
        return made[-1]

    yield make
    for region in made:
        region.journal.close()


@pytest.fixture
def region(regions):
    return regions()


@pytest.fixture
async def store_of():
    """Makes stores that read regions."""
    stores = []

    def make(*regions, now_ms=wall_ms):
        sources = [region.source() for region in regions]
        stores.append(OnlineStore(sources, now_ms=now_ms, age_max_ms=AGE_MAX_MS))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


def ask(store, ids, *, budget_ms=2_000):
    return store.read(TENANT, ids, Deadline.after(budget_ms=budget_ms, clock=CLOCK))


async def assert_exact(store, events):
    """Everybody's counters are those of the events, to the last bit."""
    for seen, ids in zip(
        await asyncio.gather(*(ask(store, ids) for ids in EVERYBODY)), EVERYBODY, strict=True
    ):
        assert seen.values.tolist() == expected(events, ids, seen.as_of_ms)


# From the journal to the model.


async def test_what_is_read_is_what_the_events_say(region, store_of):
    events = history(1_300)
    region.record(events)
    region.apply()
    await assert_exact(store_of(region), events)


async def test_late_events_count_in_the_bucket_of_their_own_time(region, store_of):
    events = history(200)
    region.record(random.Random(3).sample(events[-60:], 60))  # all within the last hours
    region.apply()
    seen = await ask(store_of(region), ids_of())
    assert seen.values[1:3].tolist() == expected(events[-60:], ids_of(), seen.as_of_ms)[1:3]


async def test_each_entity_says_what_is_known_of_it(region, store_of):
    rng = random.Random(1)
    region.record([replace_ids(event(wall_ms() - 5, rng), card="card_0", device="device_0")])
    region.apply()
    seen = await ask(store_of(region), {Entity.CARD: "card_0", Entity.DEVICE: "unheard_of"})
    assert seen.states == (b"present", b"never_seen", b"not_mapped")
    known = dict(zip([counter.name for counter in STREAMING], seen.values.tolist(), strict=True))
    assert known["card_attempted_1h"] == 1
    assert known["device_attempted_1h"] == known["device_cards_24h"] == 0
    assert np.isnan(known["ip_attempted_1h"])


def replace_ids(event, **ids):
    return msgspec.structs.replace(event, entities=ids, bits={"card": distinct_bit(ids["card"])})


async def test_what_is_past_its_horizon_was_never_seen(region, store_of):
    long_ago = [event(wall_ms() - 2 * DAY_MS, random.Random(1)) for _ in range(3)]
    region.record(long_ago)
    region.apply()
    ids = {Entity(entity): id for entity, id in long_ago[0].entities.items()}
    seen = await ask(store_of(region), ids)
    assert set(seen.states) <= {b"never_seen", b"not_mapped"}
    assert np.nansum(seen.values) == 0


async def test_positions_and_age_are_told_with_the_values(region, store_of):
    region.record(history(10))
    region.apply()
    seen = await ask(store_of(region), ids_of())
    assert seen.positions == {"us-east-1": {"0/0": (1, 10)}}
    assert 0 <= seen.age_ms < 5_000


async def test_tenants_are_kept_apart(region, store_of):
    region.record(history(50))
    region.apply()
    deadline = Deadline.after(budget_ms=2_000, clock=CLOCK)
    seen = await store_of(region).read("other", ids_of(), deadline)
    assert set(seen.states) == {b"never_seen"}


async def test_two_sources_are_merged_by_adding_and_by_or(regions, store_of):
    ours, theirs = history(300, seed=1), history(300, seed=2)
    here, there = regions("us-east-1"), regions("eu-west-1")
    here.record(ours)
    there.record(theirs)
    here.apply()
    there.apply()
    merged = sorted(ours + theirs, key=lambda event: event.received_ms)
    store = store_of(here, there)
    for ids in EVERYBODY[:CARDS]:
        seen = await ask(store, ids)
        # The fraction of the oldest bucket is taken in each region: the sum of two roundings.
        assert seen.values.tolist() == pytest.approx(
            expected(merged, ids, seen.as_of_ms), rel=1e-12
        )
        distinct = STREAMING.index(counters_of(Entity.DEVICE)[-1])
        assert seen.values[distinct] == expected(merged, ids, seen.as_of_ms)[distinct]
    assert set(seen.positions) == {"us-east-1", "eu-west-1"}


async def test_two_shards_hold_everything_between_them(regions, store_of):
    events = history(600)
    region = regions(shards=2)
    region.record(events)
    region.apply()
    assert all(server.client.dbsize() > 1 for server in region.servers)
    await assert_exact(store_of(region), events)


# Applied once, whatever happens.


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
    first, second = region.applier(), region.applier()
    region.record(events)
    drain(first)
    with pytest.raises(redis.WatchError):
        second.step()
    second.connect()
    assert drain(second) == 0
    with pytest.raises(redis.WatchError):
        force_heartbeat(first)
    await assert_exact(store_of(region), events)


def force_heartbeat(applier):
    give_up_s = time.monotonic() + 2
    while time.monotonic() < give_up_s:
        applier.step()
        time.sleep(0.05)


async def test_a_record_that_cannot_be_read_is_passed_over(region, store_of):
    events = history(20)
    region.record(events[:10])
    region.journal.append(Kind.DECISION, b"\xc1 is no MessagePack")
    region.journal.append(Kind.LABEL, b"is no attempt")
    region.record(events[10:])
    applier = region.applier()
    assert drain(applier) == 22
    assert applier.unreadable == 1
    await assert_exact(store_of(region), events)


async def test_a_value_that_cannot_be_read_is_begun_anew(region, store_of):
    events = history(100)
    region.record(events[:-1])
    region.apply()
    name = key(TENANT, Entity.CARD, events[-1].entities["card"])
    region.servers[0].client.set(name, b"nonsense")
    region.record(events[-1:])
    applier = region.applier()
    drain(applier)
    assert applier.unreadable == 1
    seen = await ask(store_of(region), {Entity.CARD: events[-1].entities["card"]})
    assert seen.values[1] == 1


# A store that loses something.


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
    for name in server.scan_iter(match=f"{TENANT}:*"):
        assert 0 < server.pttl(name) <= 3 * DAY_MS
    assert server.ttl(APPLIED_KEY) == -1


# What a decision is told.


async def test_a_corrupt_value_concerns_its_own_attempt_alone(region, store_of):
    events = history(200)
    region.record(events)
    region.apply()
    region.servers[0].client.set(key(TENANT, Entity.CARD, "card_1"), b"SD nonsense")
    asks = [ids_of(card=card) for card in range(3)]
    store = store_of(region)
    zero, one, two = await asyncio.gather(
        *(ask(store, ids) for ids in asks), return_exceptions=True
    )
    assert isinstance(one, DependencyCorrupt)
    assert one.dependency == "us-east-1"
    for seen, ids in ((zero, asks[0]), (two, asks[2])):
        assert seen.values.tolist() == expected(events, ids, seen.as_of_ms)


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
    assert store.sources[0].breaker.state is StateName.CLOSED


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


async def test_with_one_of_two_sources_away_the_read_is_refused(regions, store_of):
    here, there = regions("us-east-1"), regions("eu-west-1")
    here.apply()
    there.apply()
    there.servers[0].kill()
    with pytest.raises(DependencyUnavailable) as caught:
        await ask(store_of(here, there), ids_of())
    assert caught.value.dependency == "eu-west-1"


async def test_a_dead_datastore_opens_the_breaker_and_a_returned_one_closes_it(region, store_of):
    events = history(100)
    region.record(events)
    region.apply()
    store, server = store_of(region), region.servers[0]
    await ask(store, ids_of())

    server.kill()
    while store.sources[0].breaker.state is StateName.CLOSED:
        started_s = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await ask(store, ids_of())
        assert time.monotonic() - started_s < TIMEOUT_MS / 1_000
    with pytest.raises(BreakerOpen):
        await ask(store, ids_of())

    server.start()
    await asyncio.sleep(2 * POLICY.open_s_max)
    await assert_exact(store, events)
    assert store.sources[0].breaker.state is StateName.CLOSED


async def test_too_little_time_left_asks_nothing(region, store_of):
    store = store_of(region)
    with pytest.raises(DeadlineNear):
        await ask(store, ids_of(), budget_ms=1)
    assert region.servers[0].client.info("commandstats").get("cmdstat_mget") is None
