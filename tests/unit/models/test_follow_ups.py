"""Labels as they count, and sums of what was taken back."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from app.features.events import Counted
from app.features.rings import Ring, sum_of_events
from app.models.training.follow_ups import FollowUps
from app.models.training.late import sum_of_late

HOUR_MS = 3_600_000


def counted(*labels: tuple[str, str, int]) -> list[tuple[int, str, int, int]]:
    """What labels (attempt, label, arrival) count as: attempt, kind, counts at, known at."""
    table = pa.table(
        {
            "attempt_id": [attempt for attempt, _, _ in labels],
            "label": [label for _, label, _ in labels],
            "arrived_at": [dt.datetime.fromtimestamp(at, dt.UTC) for _, _, at in labels],
        }
    )
    said = FollowUps.of_labels(pa.chunked_array([["a", "b"]]), table)
    rows = zip(said.attempt, said.what, said.at_ms // 1_000, said.known_ms // 1_000, strict=True)
    named = [(int(row), str(Counted(int(what)).name), int(at), int(known)) for row, what, at, known in rows]  # fmt: skip
    return sorted(named, key=lambda event: (event[3], event[1]))


def test_a_second_source_that_says_the_same_counts_nothing():
    assert counted(("b", "fraud", 10), ("b", "fraud", 20)) == [(1, "FRAUD", 10, 10)]


def test_a_changed_class_takes_the_former_back_where_it_counted():
    assert counted(("a", "fraud", 10), ("a", "not_fraud", 30)) == [
        (0, "FRAUD", 10, 10),
        (0, "FRAUD_WITHDRAWN", 10, 30),
        (0, "NOT_FRAUD", 30, 30),
    ]


def test_a_withdrawal_takes_back_the_class_since_its_first_label():
    assert counted(("a", "fraud", 10), ("a", "fraud", 20), ("a", "withdrawn", 30)) == [
        (0, "FRAUD", 10, 10),
        (0, "FRAUD_WITHDRAWN", 10, 30),
    ]


def test_a_withdrawal_of_nothing_and_a_label_of_no_attempt_count_nothing():
    assert counted(("a", "withdrawn", 10), ("c", "fraud", 20)) == []


def test_fraud_that_is_said_again_after_a_withdrawal_counts_again():
    events = counted(("a", "fraud", 10), ("a", "withdrawn", 20), ("a", "fraud", 30))
    assert [(kind, at) for _, kind, at, _ in events] == [
        ("FRAUD", 10),
        ("FRAUD_WITHDRAWN", 10),
        ("FRAUD", 30),
    ]


@pytest.mark.parametrize("lag_ms", [0, 6 * HOUR_MS])
def test_late_sums_are_those_of_the_events_that_were_known(lag_ms):
    ring = Ring(window_ms=24 * HOUR_MS, lag_ms=lag_ms)
    rng = np.random.default_rng(3)
    entity, ask_entity = rng.integers(0, 3, 200), rng.integers(0, 4, 60)
    time_ms = rng.integers(100, 400, 200) * HOUR_MS // 4
    known_ms = time_ms + rng.integers(0, 40, 200) * HOUR_MS
    ask_ms = rng.integers(100, 600, 60) * HOUR_MS // 4 + 7
    value = rng.integers(1, 9, 200)
    late = sum_of_late(
        ring, entity=entity, time_ms=time_ms, known_ms=known_ms, value=value,
        ask_entity=ask_entity, ask_ms=ask_ms,
    )  # fmt: skip
    for at in range(len(ask_ms)):
        known = known_ms < ask_ms[at]
        one = sum_of_events(
            ring, entity=entity[known], time_ms=time_ms[known], value=value[known],
            ask_entity=ask_entity[at : at + 1], ask_ms=ask_ms[at : at + 1],
        )  # fmt: skip
        assert late[at] == one[0]
    assert (late > 0).sum() > 10
