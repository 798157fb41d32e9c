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
from app.features.counter_store import Written
from app.features.events import Counted
from app.features.formulas import Formulas
from app.features.online import OnlineStore, Source
from app.features.packed import distinct_bit, key
from app.features.reference import REFERENCE
from app.features.rings import distinct_of_events, last_of_events, sum_of_events
from app.features.shard import ShardClient
from app.features.spec import DAY_MS, HOUR_MS, Aggregate, Entity
from app.record.effect import Effect, encode_effect
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
AMOUNT = 12_345.0
AGE_MAX_MS = 30_000
CLOCK = SystemClock()
# Loose enough for a busy machine; what is tested here is not speed.
TIMEOUT_MS = 500
POLICY = BreakerPolicy(
    minimum_calls=3, slow_call_ms=400.0, open_s=0.05, open_s_max=0.1, probes_to_close=1
)
INPUT = {feature.name: at for at, feature in enumerate(REFERENCE.features)}
FORMULAS = Formulas(REFERENCE.features, REFERENCE.counters)


def wall_ms():
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Event:
    """A decision, or an effect of one."""

    at_ms: int
    what: Counted
    amount: int
    entities: dict[str, str]

    @property
    def bits(self):
        return {entity: distinct_bit(id) for entity, id in self.entities.items()}

    @property
    def record(self):
        """Kind and payload for the journal."""
        if not self.what & Counted.ATTEMPTED:
            return Kind.EFFECT, encode_effect(
                Effect(
                    tenant=TENANT,
                    of="0/0/1/1",
                    what=self.what.name.lower(),
                    at_ms=self.at_ms,
                    received_ms=self.at_ms,
                    decision_id="dec_1",
                    attempt_id="att_1",
                    attempted_ms=self.at_ms,
                    amount_ref=self.amount,
                    entities=self.entities,
                    bits=self.bits,
                )
            )
        decision = {
            "tenant": TENANT,
            "received_ms": self.at_ms,
            "amount_ref": self.amount,
            "entities": self.entities,
            "bits": self.bits,
            "action": "approve",
            "large": bool(self.what & Counted.LARGE),
        }
        return Kind.DECISION, msgspec.msgpack.encode(decision)


KINDS = (
    Counted.ATTEMPTED,
    Counted.ATTEMPTED | Counted.LARGE,
    Counted.ISSUER_DECLINED,
    Counted.FRAUD,
    Counted.FRAUD_WITHDRAWN,
    Counted.SUPERSEDED,
    Counted.CAPTURED,
)


def history(count, *, seed=1, span_ms=30 * HOUR_MS):
    """Events of a few cards, devices and addresses of late, in order of time."""
    rng = random.Random(seed)
    now_ms = wall_ms()
    ages = sorted((rng.randrange(1, span_ms) for _ in range(count)), reverse=True)
    return [event(now_ms - age, rng) for age in ages]


def event(at_ms, rng):
    ids = ids_of(*(rng.randrange(many) for many in (CARDS, DEVICES, IPS)))
    if rng.random() < 0.2:
        del ids[Entity.IP]
    what = rng.choices(KINDS, (60, 5, 10, 8, 4, 5, 8))[0]
    return Event(at_ms, what, rng.randrange(100, 100_000), {e.value: id for e, id in ids.items()})


def ids_of(card=0, device=0, ip=0):
    return {
        Entity.CARD: f"card_{card}",
        Entity.CUSTOMER: f"customer_{card}",
        Entity.MERCHANT: "shop",
        Entity.DEVICE: f"device_{device}",
        Entity.IP: f"ip_{ip}",
        Entity.EMAIL: f"email_{card % 3}",
        Entity.BIN: "bin_411111",
    }


EVERYBODY = [ids_of(at % CARDS, at % DEVICES, at % IPS) for at in range(2 * CARDS)]


def expected(events, ids, as_of_ms):
    """Every input of one attempt, computed from the events themselves."""
    counters = [_counted(counter, events, ids[counter.entity], as_of_ms) for counter in COUNTERS]
    return FORMULAS.inputs(
        np.array([counters]), amount=np.array([AMOUNT]), now_ms=np.array([as_of_ms])
    )[0].tolist()


COUNTERS = REFERENCE.counters


def _counted(counter, events, id, as_of_ms):
    mine = [event for event in events if event.entities.get(counter.entity) == id]
    counting = [event for event in mine if event.what & counter.counts]
    question = _question(counting, as_of_ms)
    if counter.aggregate is Aggregate.DISTINCT:
        bits = np.array([event.bits[counter.of] for event in counting], dtype=np.uint64)
        return np.bitwise_count(distinct_of_events(counter.ring, bit=bits, **question)).item()
    if counter.aggregate is Aggregate.LAST:
        return last_of_events(window_ms=counter.ring.window_ms, **question).item()
    withdrawn = [event for event in mine if event.what & counter.minus]
    return max(_sum(counter, counting, as_of_ms) - _sum(counter, withdrawn, as_of_ms), 0.0)


def _sum(counter, events, as_of_ms):
    amount = np.array([event.amount for event in events], dtype=np.int64)
    value = {
        Aggregate.COUNT: np.ones_like(amount),
        Aggregate.SUM: amount,
        Aggregate.SQUARES: amount**2,
    }[counter.aggregate]
    return sum_of_events(counter.ring, value=value, **_question(events, as_of_ms)).item()


def _question(events, as_of_ms):
    return {
        "entity": np.zeros(len(events), dtype=np.int64),
        "time_ms": np.array([event.at_ms for event in events], dtype=np.int64),
        "ask_entity": np.zeros(1, dtype=np.int64),
        "ask_ms": np.array([as_of_ms]),
    }


@dataclass
class Region:
    """One home region: its journal, its store's shards, and appliers when asked for."""

    name: str
    journal: object
    folder: object
    servers: list

    def record(self, events, *, written_ms=None):
        for one in events:
            self.journal.append(*one.record, unix_ms=written_ms)

    def applier(self, *, shard=0, stream=None, **options):
        applier = Applier(
            lambda: connect(self.servers[shard].shard, None),
            stream or JournalTail(self.folder),
            features=REFERENCE,
            now_ms=wall_ms,
            shard=shard,
            shards=len(self.servers),
            **options,
        )
        applier.connect()
        return applier

    def apply(self):
        for shard in range(len(self.servers)):
            applier = self.applier(shard=shard)
            drain(applier)
            applier.close()

    def source(self):
        return Source(
            self.name,
            [
                ShardClient(server.shard, password=None, timeout_ms=TIMEOUT_MS, region=self.name)
                for server in self.servers
            ],
            breakers=[
                Breaker(f"{self.name}/{shard}", POLICY, clock=CLOCK, rng=random.Random(1))
                for shard in range(len(self.servers))
            ],
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
        stores.append(
            OnlineStore(sources, features=REFERENCE, now_ms=now_ms, age_max_ms=AGE_MAX_MS)
        )
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


def ask(store, ids, *, tenant=TENANT, budget_ms=2_000):
    deadline = Deadline.after(budget_ms=budget_ms, clock=CLOCK)
    return store.read(tenant, ids, deadline, amount=AMOUNT)


async def assert_exact(store, events):
    """Everybody's inputs are those of the events, to the last bit."""
    for seen, ids in zip(
        await asyncio.gather(*(ask(store, ids) for ids in EVERYBODY)), EVERYBODY, strict=True
    ):
        assert seen.inputs.tolist() == pytest.approx(
            expected(events, ids, seen.as_of_ms), rel=0, abs=0, nan_ok=True
        )


# From the journal to the model.


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


def force_heartbeat(applier):
    give_up_s = time.monotonic() + 2
    while time.monotonic() < give_up_s:
        applier.step()
        time.sleep(0.05)


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


# What a decision is told.


async def test_a_corrupt_value_concerns_its_own_entity_alone(region, store_of):
    events = history(200)
    region.record(events)
    region.apply()
    region.servers[0].client.set(key(TENANT, Entity.CARD, "card_1"), b"SD nonsense")
    store = store_of(region)
    asks = [ids_of(card=card) for card in range(3)]
    alone, *seen = await asyncio.gather(
        ask(store, {Entity.CARD: "card_1"}),
        *(ask(store, ids) for ids in asks),
        return_exceptions=True,
    )
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
