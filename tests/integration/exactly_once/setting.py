"""Traffic of several writers, a plain model of what it counts, and a stream that repeats itself."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import msgspec
import numpy as np

from app.features.applier import APPLIED_KEY, Applied, Applier, connect
from app.features.applier_process import Shards
from app.features.feed import Feed
from app.features.packed import distinct_bit, key, layouts_of
from app.features.reference import REFERENCE
from app.features.spec import Aggregate, Entity
from app.record.effect import Effect, encode_effect
from app.record.frames import Kind
from app.record.journal import open_journal
from app.streams.interface import position_of, writer_of
from app.streams.journal_tail import JournalTail
from app.streams.valkey import ValkeyPublisher

TENANT, WRITERS, CARDS, DEVICES = "acme", 3, 40, 12
SYNC_S_MAX = DRAIN_S_MAX = 20.0


def wall_ms():
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Event:
    """What is journaled, and what the plain model below counts."""

    at_ms: int
    what: frozenset
    amount: int
    ids: dict


def an_event(rng):
    ids = {
        Entity.CARD: f"card_{rng.randrange(CARDS)}",
        Entity.CUSTOMER: f"customer_{rng.randrange(CARDS)}",
        Entity.MERCHANT: "shop",
        Entity.DEVICE: f"device_{rng.randrange(DEVICES)}",
        Entity.EMAIL: "email_1",
        Entity.BIN: "bin_1",
    }
    what = rng.choice(
        [{"attempted"}, {"attempted", "large"}, {"fraud"}, {"fraud_withdrawn"}, {"superseded"}]
    )
    return Event(wall_ms(), frozenset(what), rng.randrange(1, 10_000), ids)


def append(journal, event):
    bits = {entity: distinct_bit(id) for entity, id in event.ids.items()}
    common = {"tenant": TENANT, "amount_ref": event.amount, "entities": event.ids, "bits": bits}
    if "attempted" in event.what:
        decision = {"received_ms": event.at_ms, "action": "approve", "large": "large" in event.what}
        journal.append(Kind.DECISION, msgspec.msgpack.encode(common | decision))
    else:
        effect = Effect(
            of="0/0/1/1", what=min(event.what), at_ms=event.at_ms, received_ms=event.at_ms,
            decision_id="dec_1", attempt_id="att_1", attempted_ms=event.at_ms, **common,
        )  # fmt: skip
        journal.append(Kind.EFFECT, encode_effect(effect))


# The model: all that happened is recent, so that every ring still holds it, in whatever bucket.


FOLDS = {
    Aggregate.COUNT: lambda value, _counter, _event: value + 1,
    Aggregate.SUM: lambda value, _counter, event: value + event.amount,
    Aggregate.SQUARES: lambda value, _counter, event: value + event.amount**2,
    Aggregate.DISTINCT: lambda value, of, event: value | distinct_bit(event.ids[of.of]),
    Aggregate.LAST: lambda value, _counter, event: max(value, event.at_ms),
}


def names(kinds):
    return {kind.name.lower() for kind in kinds}


def modelled(events):
    """By key and counter: what was counted and withdrawn, the bitmap, or the newest time."""
    found = defaultdict(lambda: defaultdict(int))
    for event in events:
        for counter in REFERENCE.counters:
            if (id := event.ids.get(counter.entity)) is None:
                continue
            cells = found[key(TENANT, counter.entity, id)]
            fold = FOLDS[counter.aggregate]
            if event.what & names(counter.counts):
                cells[counter.name] = fold(cells[counter.name], counter, event)
            if event.what & names(counter.minus):
                cells[counter.name, -1] = fold(cells[counter.name, -1], counter, event)
    return {name: dict(cells) for name, cells in found.items() if cells}


def stored(clients):
    """The same, as the shards have it; what was never counted left out."""
    found = {}
    for client in clients:
        for name in client.scan_iter(match=f"{TENANT}:*", count=1_000):
            entity = Entity(name.decode().split(":")[1])
            layout = layouts_of(REFERENCE)[entity].layout
            records = layout.decode([client.get(name)])
            cells = {}
            for counter in layout.additive:
                cells[counter.name] = int(layout.cells(records, counter.name).sum())
                if counter.minus:
                    cells[counter.name, -1] = int(layout.cells(records, counter.name, -1).sum())
            for counter in layout.distinct:
                cells[counter.name] = int(
                    np.bitwise_or.reduce(layout.cells(records, counter.name)[0])
                )
            for at, counter in enumerate(layout.last):
                cells[counter.name] = int(records["last"][0, at])
            found[name.decode()] = {of: value for of, value in cells.items() if value}
    return found


class Unruly:
    """A stream that repeats itself and mixes the writers, but keeps the order of each."""

    def __init__(self, inner, *, seed, from_the_start=False):
        self.inner, self.rng, self.from_the_start = inner, random.Random(seed), from_the_start
        self.given = []

    def rewind(self, positions):
        self.given = []
        self.inner.rewind({} if self.from_the_start else positions)

    def read(self, limit):
        again = []
        if self.given and self.rng.random() < 0.5:
            start = self.rng.randrange(len(self.given))
            again = self.given[start : start + limit // 2]
        fresh = self.inner.read(limit - len(again))
        self.given = (self.given + fresh)[-2_000:]
        return again + self.mixed(fresh)

    def mixed(self, records):
        of_writer = defaultdict(list)
        for record in records:
            of_writer[writer_of(record.id)].append(record)
        queues = [iter(mine) for mine in of_writer.values()]
        turns = [
            queue for queue, mine in zip(queues, of_writer.values(), strict=True) for _ in mine
        ]
        self.rng.shuffle(turns)
        return [next(queue) for queue in turns]


class Traffic:
    """Journals of several writers, published on the region's stream by a thread of its own."""

    def __init__(self, folder, stream, region="us-east-1"):
        self.folder, self.events, self.stopping = folder, [], False
        self.journals = [open_journal(folder, region=0, fsync_ms=0) for _ in range(WRITERS)]
        self.publisher = None
        if stream is not None:
            self.publisher = ValkeyPublisher(
                connect(stream.shard, None), stream=region, published={}
            )
        self.tail = JournalTail(folder)
        self.rng = random.Random(4)
        self.thread = threading.Thread(target=self.go_on)

    def append(self, count):
        for _ in range(count):
            self.events.append(an_event(self.rng))
            append(self.rng.choice(self.journals), self.events[-1])
        if self.publisher is not None:
            while records := self.tail.read(1_000):
                self.publisher.publish(records)

    def go_on(self):
        while not self.stopping:
            self.append(40)
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.stopping = True
        self.thread.join()

    def ends(self):
        """The last position of each writer."""
        tail, ends = JournalTail(self.folder), {}
        while records := tail.read(1_000):
            ends |= {writer_of(record.id): position_of(record.id) for record in records}
        return ends

    def close(self):
        for journal in self.journals:
            journal.close()


def applied_of(client):
    raw = client.get(APPLIED_KEY)
    return None if raw is None else msgspec.msgpack.decode(raw, type=Applied)


def wait_until(condition, *, within_s):
    give_up_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


def shards_on(folder, *addresses):
    """The applier of stores whose addresses are asked for at each connect."""
    count = len(addresses)

    def applier(number, address):
        return Applier(
            lambda: connect(address().shard, None),
            JournalTail(folder),
            features=REFERENCE,
            now_ms=wall_ms,
            shard=number,
            shards=count,
        )

    feed = Feed(JournalTail(folder), features=REFERENCE, shards=count, now_ms=wall_ms)
    return Shards(feed, [applier(*numbered) for numbered in enumerate(addresses)])


def apply_all(shards, traffic, *stores):
    ends = traffic.ends()

    def done():
        shards.step()
        markers = [applied_of(store.client) for store in stores]
        return all(m is not None and ends.items() <= m.positions.items() for m in markers)

    wait_until(done, within_s=DRAIN_S_MAX)
