"""Serving (packed rings, updated in batches) and training (from events) give the same numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.features.rings import Ring, distinct_of_events, sum_of_events

RING = Ring(window_ms=400, buckets=4)
T0 = 1_700_000_000_000


@st.composite
def histories(draw):
    events = draw(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 2_000), st.integers(1, 50)),
            min_size=1,
            max_size=40,
        )
    )
    events.sort(key=lambda event: event[1])
    return events, draw(st.integers(0, 2_600)), draw(st.integers(1, 7))


def applied_in_batches(events, *, batch, entities, dtype, combine):
    values = np.zeros((entities, RING.slots), dtype=dtype)
    base = np.zeros(entities, dtype=np.int64)
    for start in range(0, len(events), batch):
        part = events[start : start + batch]
        newest = base.copy()
        for entity, time_ms, _ in part:
            newest[entity] = max(newest[entity], T0 + time_ms)
        RING.clear_passed(values, base, newest)
        base = newest
        for entity, time_ms, value in part:
            slot, kept = RING.slot(np.array([T0 + time_ms]), base[[entity]])
            if kept[0]:
                values[entity, slot[0]] = combine(values[entity, slot[0]], value)
    return values, base


@settings(max_examples=150, deadline=None)
@given(histories())
def test_sums_from_rings_equal_sums_from_events(case):
    events, ask, batch = case
    past = [event for event in events if event[1] < ask]
    values, base = applied_in_batches(
        past, batch=batch, entities=3, dtype=np.int64, combine=lambda a, b: a + b
    )
    now = np.full(3, T0 + ask)
    entity, time_ms, value = (
        np.array(column, dtype=np.int64) for column in zip(*events, strict=True)
    )
    expected = sum_of_events(
        RING,
        entity=entity,
        time_ms=T0 + time_ms,
        value=value,
        ask_entity=np.arange(3),
        ask_ms=now,
    )
    assert RING.total(values, base, now).tolist() == expected.tolist()


@settings(max_examples=150, deadline=None)
@given(histories())
def test_bitmaps_from_rings_equal_bitmaps_from_events(case):
    events, ask, batch = case
    events = [(entity, time_ms, 1 << (value % 64)) for entity, time_ms, value in events]
    past = [event for event in events if event[1] < ask]
    values, base = applied_in_batches(
        past, batch=batch, entities=3, dtype=np.uint64, combine=lambda a, b: a | np.uint64(b)
    )
    now = np.full(3, T0 + ask)
    expected = distinct_of_events(
        RING,
        entity=np.array([event[0] for event in events]),
        time_ms=T0 + np.array([event[1] for event in events]),
        bit=np.array([event[2] for event in events], dtype=np.uint64),
        ask_entity=np.arange(3),
        ask_ms=now,
    )
    assert RING.union(values, base, now).tolist() == expected.tolist()


@given(st.integers(0, 10_000_000))
def test_a_burst_of_ten_within_the_hour_is_always_seen_whole_up_to_the_last_quarter(phase_ms):
    ring = Ring(window_ms=3_600_000, buckets=4)
    times = T0 + phase_ms + np.arange(10) * 1_000
    read_at = np.array([times[-1] + 40 * 60_000])
    seen = sum_of_events(
        ring,
        entity=np.zeros(10, dtype=np.int64),
        time_ms=times,
        value=np.ones(10, dtype=np.int64),
        ask_entity=np.zeros(1, dtype=np.int64),
        ask_ms=read_at,
    )
    assert seen[0] == 10
