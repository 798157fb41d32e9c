"""What is played in which order, and what may be posted together without a change to any score."""

import numpy as np
import pyarrow as pa
import pytest

from app.features.events import Counted
from app.features.reference import REFERENCE
from app.features.spec import DAY_MS
from app.models.training.follow_ups import FollowUps
from app.models.training.history import ID_COLUMNS, NEVER_MS, History, HistoryError
from app.play.follow_ups import Class, FollowUp, classes_at
from app.play.groups import Groups
from app.play.report import book_rows
from app.play.script import Event, script_of

FIRST_DAY = 20_000
PLAYED = FIRST_DAY + 20


def history(rows, later=()):
    """Attempts as (ms since the first day, card, merchant, label's delay in ms or None).

    What follows besides as (row, ms at which it counts, ms of receipt, kind), since the period.
    """
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
        later=FollowUps(
            attempt=np.array([row for row, *_ in later], dtype=np.int64),
            at_ms=np.array([PLAYED * DAY_MS + at for _, at, _, _ in later], dtype=np.int64),
            known_ms=np.array([PLAYED * DAY_MS + at for _, _, at, _ in later], dtype=np.int64),
            what=np.array([int(what) for *_, what in later], dtype=np.int64),
        ),
    )


def script(played, warm=((0, "w", "w", None),), *, days=1, later=()):
    shifted = [(20 * DAY_MS + at, *rest) for at, *rest in played]
    return script_of(
        history([*warm, *shifted], later),
        warm_from_day=FIRST_DAY,
        from_day=PLAYED,
        to_day=PLAYED + days - 1,
    )


def fraud(row, at_ms):
    return FollowUp(
        row=row, at_ms=PLAYED * DAY_MS + at_ms, said="fraud", counts=Counted.FRAUD, effects=1
    )


def groups(made, size_max=100):
    return [
        (group.attempts, [said.row for said in group.said], group.tied)
        for group in Groups(made, REFERENCE).of_day(PLAYED, size_max=size_max)
    ]


def test_events_come_in_order_with_labels_behind_attempts_of_their_millisecond():
    made = script([(5, "a", "m", None), (3, "b", "n", 2), (7, "c", "o", None)])
    at_ms = PLAYED * DAY_MS
    assert made.events(PLAYED) == [
        Event(1, at_ms + 3),
        Event(2, at_ms + 5),
        Event(1, at_ms + 5, fraud(1, 5)),
        Event(3, at_ms + 7),
    ]


def test_labels_of_the_warm_up_that_arrive_in_the_period_are_delivered():
    made = script(
        [(5, "a", "m", None)],
        warm=[(0, "x", "m", 2 * DAY_MS), (DAY_MS, "y", "m", 19 * DAY_MS + 9)],
    )
    assert [said.row for said in made.follow_ups] == [0, 1]  # both after the warm-up's last day
    assert [event.row for event in made.events(PLAYED) if event.said] == [0, 1]


def test_a_label_that_the_warm_up_knew_is_not_delivered_again():
    warm = [(0, "x", "m", DAY_MS), (19 * DAY_MS, "y", "m", None)]
    assert script([(5, "a", "m", None)], warm=warm).follow_ups == []


def test_a_label_that_comes_after_the_period_is_known_to_nobody():
    made = script([(5, "a", "m", 3 * DAY_MS), (6, "b", "m", None)])
    assert made.follow_ups == []
    assert (made.history.labelled_ms == NEVER_MS).all()


def test_a_label_that_is_changed_is_said_as_its_sender_said_it():
    made = script(
        [(1, "a", "m", 10), (2, "b", "m", 10)],
        later=[
            (1, 11, 50, Counted.FRAUD_WITHDRAWN),
            (1, 50, 50, Counted.NOT_FRAUD),
            (2, 12, 60, Counted.FRAUD_WITHDRAWN),
        ],
    )
    assert [(one.row, one.said, one.effects, one.label) for one in made.follow_ups] == [
        (1, "fraud", 1, True),
        (2, "fraud", 1, True),
        (1, "not_fraud", 2, True),
        (2, "withdrawn", 1, True),
    ]


def test_outcomes_are_said_at_their_receipt():
    made = script([(1, "a", "m", None)], later=[(1, 4, 4, Counted.ISSUER_DECLINED)])
    (said,) = made.follow_ups
    assert (said.said, said.at_ms, said.label) == ("issuer_declined", PLAYED * DAY_MS + 4, False)


def test_what_a_warm_up_attempt_is_held_for_is_what_its_last_label_before_left():
    made = history(
        [(0, "x", "m", 19 * DAY_MS), (1, "y", "m", 19 * DAY_MS), (2, "z", "m", 19 * DAY_MS)],
        later=[
            (1, 1 - DAY_MS, -50, Counted.FRAUD_WITHDRAWN),
            (2, 2 - DAY_MS, -50, Counted.FRAUD_WITHDRAWN),
            (2, -50, -50, Counted.NOT_FRAUD),
            (0, -DAY_MS, 50, Counted.FRAUD_WITHDRAWN),
        ],
    )
    assert classes_at(made, PLAYED * DAY_MS) == {
        0: Class("fraud", (PLAYED - 1) * DAY_MS),
        2: Class("not_fraud", PLAYED * DAY_MS - 50),
    }


def test_without_a_warm_up_nothing_is_said_of_earlier_attempts():
    made = script_of(
        history([(0, "w", "w", 20 * DAY_MS + 5), (20 * DAY_MS + 1, "a", "m", 5)]),
        warm_from_day=None,
        from_day=PLAYED,
        to_day=PLAYED,
    )
    assert (made.first, len(made.warm_up), made.rows.tolist()) == (0, 0, [0])
    assert made.events(PLAYED) == [
        Event(0, PLAYED * DAY_MS + 1),
        Event(0, PLAYED * DAY_MS + 6, fraud(0, 6)),
    ]


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


@pytest.mark.parametrize(
    ("kind", "together"), [(Counted.AUTHORISED, True), (Counted.ISSUER_DECLINED, False)]
)
def test_an_outcome_waits_for_its_card_only_where_its_kind_is_counted(kind, together):
    made = script([(1, "a", "m", None)], later=[(1, 4, 4, kind)])
    apart = [([1], [], False), ([], [1], False)]
    assert groups(made) == ([([1], [1], False)] if together else apart)


def test_labels_of_one_attempt_wait_for_each_other():
    warm = [(0, "x", "m", 20 * DAY_MS + 3)]
    changed = [(0, 3, 4, Counted.FRAUD_WITHDRAWN)]
    made = script([(9, "a", "n", None)], warm=warm, later=changed)
    assert groups(made) == [([], [0], False), ([1], [0], False)]


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
            warm_from_day=warm_from,
            from_day=first,
            to_day=last,
        )
