"""What happens in a region, what its counters should then be, and the region itself."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from app.features.applier import APPLIED_KEY, Applied, Applier, connect
from app.features.events import Counted
from app.features.formulas import Formulas
from app.features.merge import Ask
from app.features.online import Source
from app.features.packed import distinct_bit
from app.features.reference import REFERENCE
from app.features.rings import distinct_of_events, last_of_events, sum_of_events
from app.features.shard import ShardClient
from app.features.spec import HOUR_MS, Aggregate, Entity
from app.record.effect import Effect, encode_effect
from app.record.frames import Kind
from app.streams.journal_tail import JournalTail
from fallback.breaker import Breaker, BreakerPolicy
from fallback.clock import SystemClock
from fallback.deadline import Deadline

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


def ask(store, ids, *, tenant=TENANT, budget_ms=2_000):
    deadline = Deadline.after(budget_ms=budget_ms, clock=CLOCK)
    return store.read(tenant, ids, deadline, amount=AMOUNT)


async def ask_all(store, everybody, *, tenant=TENANT, budget_ms=2_000):
    """What attempts that begin together get, or why they get nothing."""
    deadline = Deadline.after(budget_ms=budget_ms, clock=CLOCK)
    return await store.begin([Ask(tenant, ids, AMOUNT) for ids in everybody], deadline).finish()


async def assert_exact(store, events):
    """Everybody's inputs are those of the events, to the last bit."""
    for seen, ids in zip(await ask_all(store, EVERYBODY), EVERYBODY, strict=True):
        if isinstance(seen, Exception):
            raise seen
        assert seen.inputs.tolist() == pytest.approx(
            expected(events, ids, seen.as_of_ms), rel=0, abs=0, nan_ok=True
        )


def force_heartbeat(applier):
    give_up_s = time.monotonic() + 2
    while time.monotonic() < give_up_s:
        applier.step()
        time.sleep(0.05)
