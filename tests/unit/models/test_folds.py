"""Folds follow each other, labels have arrived, and known compromised cards are no test."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from app.features.spec import DAY_MS
from app.models.training.folds import FoldPlan, folds_of, within
from app.models.training.history import NEVER_MS, History, HistoryError
from app.models.training.names import Protocol

START = int(np.datetime64("2018-06-01").astype(int))
A_DAY = 20


def history(days=120, *, delay_days=7, start=START):
    """Each day the same 20 cards pay once; card 3 is a fraud every fifth day."""
    day = np.repeat(np.arange(start, start + days), A_DAY)
    card = np.tile(np.arange(A_DAY), days)
    fraud = (card == 3) & (day % 5 == 0)
    received = day * DAY_MS + card
    return History(
        attempts=pa.table({"instrument__token": [f"card-{one:04}" for one in card]}),
        received_ms=received,
        amount_ref=np.full(len(day), 100),
        fraud=fraud,
        labelled_ms=np.where(fraud, received + delay_days * DAY_MS, NEVER_MS),
        merchants={},
        provenance="simulated",
    )


def fresh_card(made, row):
    """The same history, where one attempt was a fraud by another card."""
    tokens = made.attempts["instrument__token"].to_pylist()
    tokens[row] = "card-other"
    fraud, labelled = made.fraud.copy(), made.labelled_ms.copy()
    fraud[row], labelled[row] = True, made.received_ms[row] + 7 * DAY_MS
    return History(
        attempts=pa.table({"instrument__token": tokens}),
        received_ms=made.received_ms,
        amount_ref=made.amount_ref,
        fraud=fraud,
        labelled_ms=labelled,
        merchants={},
        provenance="simulated",
    )


def test_the_book_s_folds_begin_on_its_dates_a_week_apart():
    made = history()
    row = int(np.flatnonzero(made.day == int(np.datetime64("2018-08-10").astype(int)))[0])
    plan = FoldPlan(protocol=Protocol.BOOK, folds=1)
    (fold,) = folds_of(fresh_card(made, row), plan)
    days = np.array([fold.first_day, fold.test_day]).astype("datetime64[D]").astype(str)
    assert days.tolist() == ["2018-07-25", "2018-08-08"]


def test_training_gap_and_test_follow_each_other_up_to_the_last_day():
    made = history()
    row = len(made) - 1
    (fold,) = folds_of(fresh_card(made, row), FoldPlan(protocol=Protocol.PREQUENTIAL, folds=1))
    assert set(made.day[fold.train]) == set(range(START + 99, START + 106))
    assert set(made.day[fold.test]) == set(range(START + 113, START + 120))


def test_a_card_leaves_the_test_on_the_midnight_after_its_label_arrived():
    made = history()
    first_test = START + 113
    caught = first_test - 7 + 1  # labelled during the second test day
    row = int(np.flatnonzero(made.day == caught)[9])
    changed = fresh_card(made, row)
    tokens = np.array(changed.attempts["instrument__token"].to_pylist())
    tokens[(made.day >= first_test) & (tokens == "card-0009")] = "card-other"
    again = History(
        attempts=pa.table({"instrument__token": tokens}),
        received_ms=made.received_ms,
        amount_ref=made.amount_ref,
        fraud=changed.fraud | ((made.day == first_test) & (tokens == "card-0001")),
        labelled_ms=changed.labelled_ms,
        merchants={},
        provenance="simulated",
    )
    (fold,) = folds_of(again, FoldPlan(protocol=Protocol.PREQUENTIAL, folds=1))
    days = made.day[fold.test][tokens[fold.test] == "card-other"]
    assert days.tolist() == [first_test, first_test + 1]
    assert "card-0003" not in set(tokens[fold.test])


def test_older_fraud_removes_no_card_so_longer_training_has_the_same_test():
    made = fresh_card(history(), len(history()) - 1)
    plans = [FoldPlan(protocol=Protocol.PREQUENTIAL, folds=1, train_days=days) for days in (7, 60)]
    (short,), (long,) = (folds_of(made, plan) for plan in plans)
    assert (short.test == long.test).all()
    assert len(long.train) == 60 * A_DAY


def test_data_that_do_not_span_the_folds_are_one_sentence():
    with pytest.raises(HistoryError, match=r"span 2018-06-01 to 2018-06-30; 4 book folds"):
        folds_of(history(30), FoldPlan(protocol=Protocol.BOOK))


def test_labels_that_come_too_late_to_train_on_are_one_sentence():
    with pytest.raises(HistoryError, match="no fraud of 2018-09-08 to 2018-09-14 was known"):
        folds_of(history(delay_days=40), FoldPlan(protocol=Protocol.PREQUENTIAL, folds=1))


def test_the_part_that_is_kept_reaches_a_window_and_a_label_delay_back():
    made = history()
    part = within(made, FoldPlan(protocol=Protocol.PREQUENTIAL, folds=1), 30 * DAY_MS)
    assert part.day[0] == START + 120 - 21 - 30 - 7
    assert part.day[-1] == made.day[-1]
