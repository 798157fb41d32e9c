"""What is played in which order, and what may be posted together without a change to any score."""

import numpy as np
import pyarrow as pa
import pytest

from app.features.reference import REFERENCE
from app.features.spec import DAY_MS
from app.models.training.history import ID_COLUMNS, NEVER_MS, History, HistoryError
from app.play.answers import book_rows
from app.play.script import Event, script_of

FIRST_DAY = 20_000
PLAYED = FIRST_DAY + 20


def history(rows):
    """Attempts as (ms since the first day, card, merchant, label's delay in ms or None)."""
    rows = sorted(rows, key=lambda row: row[0])
    received = np.array([row[0] for row in rows]) + FIRST_DAY * DAY_MS
    delay = [row[3] for row in rows]
    columns = {column: pa.nulls(len(rows), pa.string()) for column in ID_COLUMNS.values()}
    columns["attempt_id"] = pa.array([f"att_{at}" for at in range(len(rows))])
    columns["instrument__token"] = pa.array([row[1] for row in rows], pa.string())
    columns["merchant__id"] = pa.array([row[2] for row in rows], pa.string())
    return History(
        attempts=pa.table(columns),
        received_ms=received,
        amount_ref=np.full(len(rows), 100),
        fraud=np.array([one is not None for one in delay]),
        labelled_ms=np.array(
            [NEVER_MS if d is None else at + d for at, d in zip(received, delay, strict=True)]
        ),
        merchants={},
        provenance="simulated",
    )


def script(played, warm=((0, "w", "w", None),), *, days=1):
    shifted = [(20 * DAY_MS + at, *rest) for at, *rest in played]
    return script_of(
        history([*warm, *shifted]),
        REFERENCE,
        warm_from_day=FIRST_DAY,
        from_day=PLAYED,
        to_day=PLAYED + days - 1,
    )


def groups(made, size_max=100):
    return [
        (group.attempts, group.labels, group.tied)
        for group in made.groups(PLAYED, size_max=size_max)
    ]


def test_events_come_in_order_with_labels_behind_attempts_of_their_millisecond():
    made = script([(5, "a", "m", None), (3, "b", "n", 2), (7, "c", "o", None)])
    at_ms = PLAYED * DAY_MS
    assert made.events(PLAYED) == [
        Event(1, at_ms + 3, label=False),
        Event(2, at_ms + 5, label=False),
        Event(1, at_ms + 5, label=True),
        Event(3, at_ms + 7, label=False),
    ]


def test_labels_of_the_warm_up_that_arrive_in_the_period_are_delivered():
    made = script(
        [(5, "a", "m", None)],
        warm=[(0, "x", "m", 2 * DAY_MS), (DAY_MS, "y", "m", 19 * DAY_MS + 9)],
    )
    assert made.labels().tolist() == [0, 1]  # both after the warm-up's last day
    assert [event.row for event in made.events(PLAYED) if event.label] == [0, 1]


def test_a_label_that_the_warm_up_knew_is_not_delivered_again():
    warm = [(0, "x", "m", DAY_MS), (19 * DAY_MS, "y", "m", None)]
    assert script([(5, "a", "m", None)], warm=warm).labels().tolist() == []


def test_a_label_that_comes_after_the_period_is_known_to_nobody():
    made = script([(5, "a", "m", 3 * DAY_MS), (6, "b", "m", None)])
    assert made.labels().tolist() == []
    assert (made.history.labelled_ms == NEVER_MS).all()


def test_attempts_that_share_nothing_are_posted_together():
    assert groups(script([(1, "a", "m", None), (2, "b", "n", None)])) == [([1, 2], [], False)]


@pytest.mark.parametrize("second", [("a", "n"), ("b", "m")])
def test_an_attempt_waits_for_an_earlier_one_of_its_card_or_merchant(second):
    made = script([(1, "a", "m", None), (2, *second, None)])
    assert groups(made) == [([1], [], False), ([2], [], False)]


def test_attempts_of_one_millisecond_are_decided_before_either_counts():
    made = script([(1, "a", "m", None), (1, "a", "n", None), (2, "a", "o", None)])
    assert groups(made) == [([1, 2], [], True), ([3], [], False)]


def test_a_full_group_is_not_cut_between_attempts_of_one_millisecond():
    made = script([(1, "a", "m", None), (1, "a", "n", None), (2, "b", "o", None)])
    assert groups(made, size_max=1) == [([1, 2], [], True), ([3], [], False)]


def test_a_label_and_an_attempt_at_its_merchant_wait_for_each_other():
    made = script([(1, "a", "m", 4), (3, "b", "m", None), (9, "c", "m", None)])
    assert groups(made) == [
        ([1], [], False),
        ([2], [], False),
        ([], [1], False),
        ([3], [], False),
    ]


def test_a_label_of_another_merchant_is_posted_beside():
    made = script([(1, "a", "m", 4), (3, "b", "n", None), (9, "c", "o", None)])
    assert groups(made) == [([1, 2], [], False), ([3], [1], False)]


def test_cards_whose_fraud_was_known_at_midnight_are_not_evaluated():
    made = script(
        [(1, "known", "m", None), (2, "unknown", "m", None), (3, "old", "m", None)],
        warm=[
            (0, "old", "m", DAY_MS),
            (10 * DAY_MS, "known", "m", 7 * DAY_MS),
            (15 * DAY_MS, "unknown", "m", 7 * DAY_MS),
        ],
    )
    cards = made.history.attempts["instrument__token"].to_pylist()
    assert [cards[row] for row in book_rows(made)] == ["unknown", "old"]


@pytest.mark.parametrize(
    ("days", "problem"),
    [
        ((PLAYED, PLAYED, PLAYED), "begins before"),
        ((FIRST_DAY, PLAYED, PLAYED - 1), "no later than the last"),
        ((FIRST_DAY - 1, PLAYED, PLAYED), "the data spans"),
        ((FIRST_DAY, PLAYED, PLAYED + 1), "the data spans"),
    ],
)
def test_days_that_cannot_be_played_are_refused(days, problem):
    warm_from, first, last = days
    with pytest.raises(HistoryError, match=problem):
        script_of(
            history([(0, "w", "w", None), (20 * DAY_MS, "a", "m", None)]),
            REFERENCE,
            warm_from_day=warm_from,
            from_day=first,
            to_day=last,
        )
