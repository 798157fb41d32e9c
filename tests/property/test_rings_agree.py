"""Serving (packed rings, updated in batches) and training (from events) give the same numbers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.features.rings import Ring, Rings, distinct_of_events, last_of_events, sum_of_events

WIDTH_MS = 100
RING = Ring(window_ms=4 * WIDTH_MS, buckets=4)
LAGGING = Ring(window_ms=4 * WIDTH_MS, buckets=4, lag_ms=3 * WIDTH_MS)
T0 = 1_700_000_000_000
ENTITIES = 3


@st.composite
def histories(draw):
    """Events (entity, time, value) in order of time, when to ask, and events a batch."""
    events = draw(
        st.lists(
            st.tuples(st.integers(0, ENTITIES - 1), st.integers(0, 2_000), st.integers(1, 50)),
            min_size=1,
            max_size=40,
        )
    )
    events.sort(key=lambda event: event[1])
    return events, draw(st.integers(0, 3_000)), draw(st.integers(1, 7))


def columns(events):
    entity, time_ms, value = (np.array(c, dtype=np.int64) for c in zip(*events, strict=True))
    return {"entity": entity, "time_ms": T0 + time_ms}, value


def question(ask_ms):
    return {"ask_entity": np.arange(ENTITIES), "ask_ms": np.full(ENTITIES, T0 + ask_ms)}


def applied_in_batches(rings, events, *, batch, fold):
    """Cells of one ring and the base of each entity."""
    cells = np.zeros((ENTITIES, 1, rings.slots), dtype=np.uint64)
    base = np.zeros(ENTITIES, dtype=np.int64)
    for start in range(0, len(events), batch):
        part = events[start : start + batch]
        newest = base.copy()
        for entity, time_ms, _ in part:
            newest[entity] = max(newest[entity], T0 + time_ms)
        rings.clear_passed(cells, base, newest)
        base = newest
        for entity, time_ms, value in part:
            slot, held = rings.place(np.array([T0 + time_ms]), base[[entity]])
            if held[0, 0]:
                cells[entity, 0, slot[0, 0]] = fold(cells[entity, 0, slot[0, 0]], np.uint64(value))
    return cells, base


@settings(max_examples=150, deadline=None)
@given(histories(), st.sampled_from([RING, LAGGING]))
def test_sums_from_rings_equal_sums_from_events(case, ring):
    events, ask, batch = case
    rings = Rings([ring])
    past = [event for event in events if event[1] < ask]
    cells, base = applied_in_batches(rings, past, batch=batch, fold=np.add)
    log, value = columns(events)
    expected = sum_of_events(ring, value=value, **log, **question(ask))
    assert rings.totals(cells, base, np.array([T0 + ask]))[:, 0].tolist() == expected.tolist()


@settings(max_examples=150, deadline=None)
@given(histories())
def test_bitmaps_from_rings_equal_bitmaps_from_events(case):
    events, ask, batch = case
    events = [(entity, time_ms, 1 << (value % 64)) for entity, time_ms, value in events]
    rings = Rings([RING])
    past = [event for event in events if event[1] < ask]
    cells, base = applied_in_batches(rings, past, batch=batch, fold=np.bitwise_or)
    log, bit = columns(events)
    expected = distinct_of_events(RING, bit=bit.astype(np.uint64), **log, **question(ask))
    assert rings.unions(cells, base, np.array([T0 + ask]))[:, 0].tolist() == expected.tolist()


@settings(max_examples=100, deadline=None)
@given(histories())
def test_the_newest_event_is_that_of_a_plain_search(case):
    events, ask, _ = case
    log, _ = columns(events)
    found = last_of_events(window_ms=RING.window_ms, **log, **question(ask))
    for entity in range(ENTITIES):
        times = [
            T0 + time_ms
            for of, time_ms, _ in events
            if of == entity and ask - RING.window_ms <= time_ms < ask
        ]
        assert found[entity] == max(times, default=0)


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
