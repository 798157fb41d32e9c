"""The applier behind each stream, with everything going wrong: every event counts once."""

from __future__ import annotations

import random
import time

import msgspec
import numpy as np
import pytest
import redis

from app.features.applier import APPLIED_KEY, Applied, Applier, connect
from app.features.packed import key, layouts_of
from app.features.reference import REFERENCE
from app.features.spec import Entity
from app.record.frames import Kind

TENANT, CARD = "acme", "card_1"
EVENTS, WRITERS = 1_500, 3


def now_ms():
    return time.time_ns() // 1_000_000


def record(journal, amount):
    event = {
        "tenant": TENANT,
        "received_ms": now_ms(),
        "amount_ref": amount,
        "entities": {"card": CARD},
        "bits": {},
        "action": "approve",
    }
    journal.append(Kind.DECISION, msgspec.msgpack.encode(event))


def counted(store):
    """Attempts and amount of the card over 24 hours."""
    layout = layouts_of(REFERENCE)[Entity.CARD].layout
    records = layout.decode([store.client.get(key(TENANT, Entity.CARD, CARD))])
    totals = layout.windows(records, np.array([now_ms()])).totals[0]
    names = [counter.name for counter in layout.additive]
    return tuple(int(totals[names.index(f"card_{n}_24h")]) for n in ("attempted", "amount"))


class Hazards:
    """What happens to a region while its events are on their way."""

    def __init__(self, region, stream_of, store):
        self.region, self.stream_of, self.store = region, stream_of, store
        self.applier = self.new_applier()

    def new_applier(self):
        if (stored := self.store.client.get(APPLIED_KEY)) is not None:
            self.region.since_ms = msgspec.msgpack.decode(stored, type=Applied).as_of_ms
        applier = Applier(
            lambda: connect(self.store.shard, None),
            self.stream_of(self.region),
            features=REFERENCE,
            now_ms=now_ms,
        )
        applier.connect()
        return applier

    def applier_restarts(self):
        self.applier.close()
        self.applier = self.new_applier()

    def applier_connects_again(self):
        self.applier.connect()

    def second_applier_takes_over(self):
        first, self.applier = self.applier, self.new_applier()
        self.applier.step()
        first._written_s = 0.0  # its heartbeat is due
        with pytest.raises(redis.WatchError):
            first.step()

    def publisher_goes_back(self):
        self.region.start_publisher()

    def publisher_saves_its_checkpoint(self):
        self.region.ship()
        self.region.checkpoint = dict(self.region.publisher._published)

    def writer_starts_again(self):
        self.region.close(self.region.open[0])
        self.region.writer()


def test_every_event_is_counted_once_whatever_happens_on_the_way(shipped, reading, valkeys):
    rng, store = random.Random(45), valkeys()
    amounts = [rng.randrange(1, 1_000) for _ in range(EVENTS)]
    for _ in range(WRITERS):
        shipped.writer()
    hazards = Hazards(shipped, reading, store)
    happenings = (
        hazards.applier_restarts,
        hazards.applier_connects_again,
        hazards.second_applier_takes_over,
        hazards.publisher_goes_back,
        hazards.publisher_saves_its_checkpoint,
        hazards.writer_starts_again,
    )
    for number, amount in enumerate(amounts):
        record(rng.choice(shipped.open), amount)
        if number % 60 == 0:
            rng.choice(happenings)()
        elif number % 25 == 0:
            hazards.applier.step()
    while hazards.applier.step():
        pass
    assert counted(store) == (EVENTS, sum(amounts))


def test_refused_runs_are_counted_once(on_kinesis, reading, valkeys):
    region, store, rng = on_kinesis(), valkeys(), random.Random(1)
    region.publishing.refuse = lambda _record: (
        "ProvisionedThroughputExceededException" if rng.random() < 0.1 else None
    )
    for _ in range(WRITERS):
        region.writer()
    hazards = Hazards(region, reading, store)
    for number in range(EVENTS):
        record(region.open[number % WRITERS], 1)
        if number == EVENTS // 2:
            region.client.split_shard(
                StreamName=region.name,
                ShardToSplit="shardId-000000000000",
                NewStartingHashKey=str(2**126),
            )
        if number % 50 == 0:
            hazards.applier.step()
    while hazards.applier.step():
        pass
    assert counted(store) == (EVENTS, EVENTS)
