"""Windows as rings: what a shape may be, and what is read of it."""

from __future__ import annotations

import numpy as np
import pytest

from app.features.rings import Ring, Rings, last_of_events, sum_of_events
from app.features.spec import DAY_MS, HOUR_MS

T0 = 1_700_000_000_000 - 1_700_000_000_000 % DAY_MS
QUARTER_MS = HOUR_MS // 4
HOUR = Ring(window_ms=HOUR_MS)


def read(ring, event_ms, now_ms):
    """The window's value after one event a time given."""
    rings = Rings([ring])
    base = np.array([max(event_ms)])
    cells = np.zeros((1, 1, ring.slots), dtype=np.uint32)
    slots, held = rings.place(np.array(event_ms), np.repeat(base, len(event_ms)))
    for slot, kept in zip(slots[:, 0], held[:, 0], strict=True):
        cells[0, 0, slot] += kept
    return rings.totals(cells, base, np.array([now_ms]))[0, 0]


@pytest.mark.parametrize(
    "shape",
    [
        {"window_ms": 0},
        {"window_ms": -HOUR_MS},
        {"window_ms": HOUR_MS, "buckets": 0},
        {"window_ms": 1_001},
        {"window_ms": HOUR_MS, "lag_ms": -QUARTER_MS},
        {"window_ms": HOUR_MS, "lag_ms": QUARTER_MS + 1},
    ],
)
def test_a_ring_that_does_not_divide_into_buckets_is_refused(shape):
    with pytest.raises(ValueError, match="must be a"):
        Ring(**shape)


def test_a_ring_keeps_one_bucket_more_than_its_window_has_and_those_of_its_lag():
    assert HOUR.slots == 5
    assert Ring(window_ms=HOUR_MS, lag_ms=2 * QUARTER_MS).slots == 7


def test_an_event_can_count_for_the_window_a_bucket_and_the_lag():
    assert HOUR.horizon_ms == HOUR_MS + QUARTER_MS
    assert Ring(window_ms=HOUR_MS, lag_ms=HOUR_MS).horizon_ms == 2 * HOUR_MS + QUARTER_MS


@pytest.mark.parametrize(
    ("age_ms", "value"),
    [
        (0, 1.0),
        (HOUR_MS - QUARTER_MS, 1.0),
        (HOUR_MS, 0.5),  # in the oldest bucket, half of which has passed
        (HOUR_MS + QUARTER_MS, 0.0),
    ],
)
def test_the_oldest_bucket_counts_for_the_share_that_is_still_inside(age_ms, value):
    now_ms = T0 + QUARTER_MS // 2
    assert read(HOUR, [now_ms - age_ms], now_ms) == value


def test_what_was_not_read_for_long_is_gone_without_anything_being_cleared():
    assert read(HOUR, [T0], T0 + 100 * DAY_MS) == 0.0


def test_a_bucket_yet_to_come_does_not_count():
    assert read(HOUR, [T0, T0 + QUARTER_MS], T0) == 1.0


def test_a_lagging_ring_counts_an_event_when_it_has_matured():
    matured = Ring(window_ms=HOUR_MS, lag_ms=HOUR_MS)
    assert read(matured, [T0], T0 + HOUR_MS) == 0.0
    assert read(matured, [T0], T0 + HOUR_MS + QUARTER_MS // 2) == 0.5
    assert read(matured, [T0], T0 + HOUR_MS + QUARTER_MS) == 1.0
    assert read(matured, [T0], T0 + 2 * HOUR_MS) == 1.0
    assert read(matured, [T0], T0 + 2 * HOUR_MS + QUARTER_MS // 2) == 0.5
    assert read(matured, [T0], T0 + 2 * HOUR_MS + QUARTER_MS) == 0.0


def test_rings_of_several_shapes_cannot_be_handled_together():
    with pytest.raises(ValueError, match="equally many"):
        Rings([HOUR, Ring(window_ms=DAY_MS, buckets=24)])
    with pytest.raises(ValueError, match="equally many"):
        Rings([HOUR, Ring(window_ms=HOUR_MS, lag_ms=QUARTER_MS)])


def test_moving_on_clears_the_buckets_that_fell_behind_and_no_others():
    rings = Rings([HOUR, Ring(window_ms=DAY_MS)])
    cells = np.ones((1, 2, 5), dtype=np.uint32)
    rings.clear_passed(cells, np.array([T0]), np.array([T0 + 2 * QUARTER_MS]))
    assert cells.sum(axis=2).tolist() == [[3, 5]]
    rings.clear_passed(cells, np.array([T0 + 2 * QUARTER_MS]), np.array([T0 + 30 * DAY_MS]))
    assert cells.sum() == 0


def test_an_event_does_not_count_itself():
    question = {"ask_entity": np.zeros(1, dtype=np.int64), "ask_ms": np.array([T0])}
    events = {"entity": np.zeros(2, dtype=np.int64), "time_ms": np.array([T0, T0 - 1])}
    assert sum_of_events(HOUR, value=np.array([10, 1]), **events, **question).tolist() == [1.0]
    assert last_of_events(window_ms=HOUR_MS, **events, **question).tolist() == [T0 - 1]


def test_a_newest_event_of_another_entity_or_beyond_the_window_is_none():
    events = {"entity": np.array([0, 1]), "time_ms": np.array([T0 - HOUR_MS - 1, T0 - 1])}
    newest = last_of_events(
        **events,
        ask_entity=np.array([0, 1, 2]),
        ask_ms=np.full(3, T0),
        window_ms=HOUR_MS,
    )
    assert newest.tolist() == [0, T0 - 1, 0]
