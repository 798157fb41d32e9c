"""Counters of three regions, however their events came, against a model that is plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.features.applier import Applied
from app.features.countable import Countable, events_of
from app.features.events import Counted
from app.features.merge import Ask, Merge, MergePlan, Reply
from app.features.packed import layouts_of
from app.features.rings import Ring
from app.features.spec import (
    HOUR_MS,
    MINUTE_MS,
    Aggregate,
    Counter,
    Entity,
    Feature,
    FeatureSet,
    Formula,
)

TENANT, CARD = "acme", "card_1"
NOW_MS = 1_700_000_000_000
SKEW_MS = 5 * MINUTE_MS
REGIONS = ("us", "eu", "ap")
HOUR = Ring(window_ms=HOUR_MS)
SIX_HOURS = Ring(window_ms=6 * HOUR_MS, buckets=6)
MATURED = Ring(window_ms=2 * HOUR_MS, lag_ms=HOUR_MS)


def counter(name, ring, aggregate=Aggregate.COUNT, **fields):
    return Counter(name=name, entity=Entity.CARD, ring=ring, aggregate=aggregate, **fields)


COUNTERS = (
    counter("attempted_1h", HOUR, minus=Counted.SUPERSEDED),
    counter("attempted_6h", SIX_HOURS),
    counter("amount_6h", SIX_HOURS, Aggregate.SUM, minus=Counted.SUPERSEDED),
    counter("squares_1h", HOUR, Aggregate.SQUARES),
    counter("devices_1h", HOUR, Aggregate.DISTINCT, of=Entity.DEVICE),
    counter("fraud_6h", SIX_HOURS, counts=Counted.FRAUD, minus=Counted.FRAUD_WITHDRAWN),
    counter("matured_2h", MATURED),
    counter("last", SIX_HOURS, Aggregate.LAST, counts=Counted.ATTEMPTED | Counted.FRAUD),
)
FEATURES = FeatureSet(
    name="all-aggregates",
    schema=7,
    counters=COUNTERS,
    features=tuple(
        Feature(
            name=c.name,
            formula=Formula.SINCE if c.aggregate is Aggregate.LAST else Formula.VALUE,
            description="",
            code="X",
        )
        for c in COUNTERS
    ),
    batch_counters=(),
    batch_features=(),
    request_numbers=(),
    request_categories=(),
)
READER = layouts_of(FEATURES)[Entity.CARD]
HORIZON_MS = FEATURES.horizon_ms(Entity.CARD)
KINDS = (
    Counted.ATTEMPTED,
    Counted.ATTEMPTED | Counted.STEPPED_UP,
    Counted.SUPERSEDED,
    Counted.FRAUD,
    Counted.FRAUD_WITHDRAWN,
    Counted.CAPTURED,
)


BATCHES = st.sampled_from([1, 2, 5, 40])


@dataclass(frozen=True)
class Event:
    at_ms: int
    what: Counted
    amount: int
    device: int
    region: int


def events(newest_ms):
    """Events of the last nine hours or yet to come, in the order in which they are applied."""
    offsets = [st.integers(-reach_ms, newest_ms) for reach_ms in (9 * HOUR_MS, 80 * MINUTE_MS)]
    return st.lists(
        st.builds(
            Event,
            at_ms=st.one_of(offsets).map(lambda offset: NOW_MS + offset),
            what=st.sampled_from(KINDS),
            amount=st.integers(0, 20_000_000),
            device=st.integers(0, 3),
            region=st.integers(0, len(REGIONS) - 1),
        ),
        min_size=5,
        max_size=40,
    )


def applied(log, *, batch):
    """The value after events that came in this order, so many at once; None after none."""
    records = READER.layout.blank(1)
    seen = [event for event in log if event.what & READER.layout.counts]
    for start in range(0, len(seen), batch):
        part = [
            Countable(
                TENANT, one.at_ms, int(one.what), one.amount, {}, {Entity.DEVICE: 1 << one.device}
            )
            for one in seen[start : start + batch]
        ]
        READER.layout.apply(
            records, np.zeros(len(part), dtype=np.int64), events_of(part, FEATURES.told_apart)
        )
    return READER.layout.encode(records)[0] if seen else None


def merged(log, *, batch):
    """What a model is told when every region has applied its own events."""
    reading = Merge(MergePlan(FEATURES), [Ask(TENANT, {Entity.CARD: CARD}, math.nan)])
    for number, region in enumerate(REGIONS):
        value = applied([one for one in log if one.region == number], batch=batch)
        marker = Applied(generation="g", ready=True, as_of_ms=NOW_MS, positions={})
        reading.add(Reply(region, [value], (marker,)))
    (streaming,) = reading.results(NOW_MS)
    return streaming


# The model: no rings, no bases, no batches; a window is a list of buckets counted from `now`.


def share(ring, at_ms):
    """How much of an event at this time is in the window."""
    end_ms = NOW_MS - ring.lag_ms
    back = end_ms // ring.width_ms - at_ms // ring.width_ms
    passed = end_ms % ring.width_ms / ring.width_ms
    if back == ring.buckets:
        return 1 - passed
    if back == 0 and ring.lag_ms:
        return passed
    return float(0 <= back < ring.buckets)


def added(counter, event):
    amount = event.amount
    return {
        Aggregate.COUNT: 1,
        Aggregate.SUM: amount,
        Aggregate.SQUARES: min(amount, 10_000_000) ** 2,
    }[counter.aggregate]


def total(counter, kinds, log):
    return sum(
        share(counter.ring, one.at_ms) * added(counter, one) for one in log if one.what & kinds
    )


def modelled(counter, log):
    ring = counter.ring
    counting = [one for one in log if one.what & counter.counts]
    if counter.aggregate is Aggregate.DISTINCT:
        return len({one.device for one in counting if share(ring, one.at_ms) > 0})
    if counter.aggregate is Aggregate.LAST:
        newest_ms = max((one.at_ms for one in counting), default=0)
        return (NOW_MS - newest_ms) / 1_000 if newest_ms >= NOW_MS - ring.window_ms else math.nan
    return max(total(counter, counter.counts, log) - total(counter, counter.minus, log), 0)


def expected(log):
    return pytest.approx([modelled(c, log) for c in COUNTERS], rel=1e-6, abs=1e-3, nan_ok=True)


def still_held(log, ring):
    """A region's events whose buckets the newest one of all has not pushed out."""
    seen = [one for one in log if one.what & READER.layout.counts]
    newest_ms = {
        region: max((one.at_ms for one in seen if one.region == region), default=0)
        for region in range(len(REGIONS))
    }
    return [
        one
        for one in log
        if one.at_ms // ring.width_ms > newest_ms[one.region] // ring.width_ms - ring.slots
    ]


@settings(max_examples=200, deadline=None)
@given(events(0), BATCHES)
def test_three_regions_together_know_what_happened_in_any_order(log, batch):
    seen = merged(log, batch=batch)
    assert seen.inputs.tolist() == expected(log)


@settings(max_examples=100, deadline=None)
@given(events(0))
def test_never_seen_is_said_of_what_has_no_event_within_the_horizon(log):
    newest_ms = max((one.at_ms for one in log if one.what & READER.layout.counts), default=0)
    known = b"present" if newest_ms >= NOW_MS - HORIZON_MS else b"never_seen"
    assert merged(log, batch=40).states == (known,)


@settings(max_examples=150, deadline=None)
@given(events(SKEW_MS), BATCHES)
def test_a_clock_ahead_costs_at_most_the_oldest_bucket_of_its_own_region(log, batch):
    seen = dict(zip((c.name for c in COUNTERS), merged(log, batch=batch).inputs, strict=True))
    for counter in COUNTERS:
        if counter.aggregate is Aggregate.LAST:
            continue
        held = still_held(log, counter.ring)
        assert seen[counter.name] == pytest.approx(modelled(counter, held), rel=1e-6, abs=1e-3)
        for lost in set(log) - set(held):
            oldest = NOW_MS // counter.ring.width_ms - counter.ring.slots + 1
            assert lost.at_ms // counter.ring.width_ms <= oldest


@settings(max_examples=150, deadline=None)
@given(events(HOUR_MS), BATCHES, st.randoms(use_true_random=False))
def test_neither_batches_nor_order_change_a_value(log, batch, rng):
    shuffled = log.copy()
    rng.shuffle(shuffled)
    assert applied(log, batch=40) == applied(shuffled, batch=batch)


@settings(max_examples=60, deadline=None)
@given(st.permutations([Counted.ATTEMPTED, Counted.ATTEMPTED, Counted.SUPERSEDED]))
def test_a_withdrawal_takes_back_one_event_before_or_after_it(kinds):
    log = [Event(NOW_MS - MINUTE_MS, what, 500, 0, number) for number, what in enumerate(kinds)]
    seen = dict(zip((c.name for c in COUNTERS), merged(log, batch=1).inputs, strict=True))
    assert (seen["attempted_1h"], seen["attempted_6h"], seen["amount_6h"]) == (1, 2, 500)


def test_a_withdrawal_of_what_never_came_is_not_less_than_nothing():
    log = [Event(NOW_MS - MINUTE_MS, Counted.FRAUD_WITHDRAWN, 0, 0, 0)]
    assert modelled(COUNTERS[5], log) == 0
    assert merged(log, batch=1).inputs[5] == 0
