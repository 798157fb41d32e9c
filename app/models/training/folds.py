"""Which attempts are trained and tested on, fold by fold.

    train_days of training | delay_days for labels to arrive | test_days of test

The book's protocol (Le Borgne et al., *Reproducible Machine Learning for Credit Card Fraud
Detection*, chapter 5): seven days each, four folds a week apart, on the dates it publishes figures
for. Prequential folds are the same on any data: the last ones that fit, test weeks end to end.

Cards already known as compromised are no test: whoever knows them has blocked them. Known is a
card with fraud of the last training week or later that was labelled by the midnight before the
test day. Older fraud removes no card, however long the training: the test sets of 7 and of 60
training days are the same.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity
from app.models.training.history import History, HistoryError, ids_of
from app.models.training.names import Protocol

__all__ = ["BOOK_TABLE", "Fold", "FoldPlan", "folds_of", "within"]

BOOK_START = dt.date(2018, 7, 25)
TRAIN_DAYS, TEST_DAYS = 7, 7
_EPOCH = dt.date(1970, 1, 1)

# Published means over the four folds: AUC, average precision, card precision at 100.
BOOK_TABLE = {
    "logistic regression": (0.868, 0.623, 0.297),
    "random forest": (0.870, 0.678, 0.299),
    "XGBoost": (0.869, 0.687, 0.303),
    "balanced bagging": (0.879, 0.680, 0.305),
    "feed-forward network": (0.876, 0.675, 0.303),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldPlan:
    """How folds are laid over a history.

    Attributes:
        protocol: says where the first fold begins.
        folds: how many, a week apart.
        train_days: of each fold.
        delay_days: between training and test; no label of the training may come later.
    """

    protocol: Protocol
    folds: int = 4
    train_days: int = TRAIN_DAYS
    delay_days: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One fold; days are counted from the epoch.

    Attributes:
        first_day: of training.
        test_day: first of the test.
        train: rows, in order.
        test: rows, without those of cards known as compromised.
    """

    first_day: int
    test_day: int
    train: Int64s
    test: Int64s


def folds_of(history: History, plan: FoldPlan) -> list[Fold]:
    """Lay the folds.

    Raises:
        HistoryError: the data do not span them, or a fold has no known fraud to learn from or no
            fraud to find.
    """
    tests = _test_days(history, plan)
    first = int(history.day[0])
    needed = tests[0] - plan.delay_days - plan.train_days
    if needed < first or tests[-1] + TEST_DAYS > int(history.day[-1]) + 1:
        raise HistoryError(
            f"the data span {_date(first)} to {_date(int(history.day[-1]))}; {plan.folds} "
            f"{plan.protocol} folds with {plan.train_days} training days need "
            f"{_date(needed)} to {_date(tests[-1] + TEST_DAYS - 1)}."
        )
    card = ids_of(history, Entity.CARD).code
    return [_fold(history, plan, day, card) for day in tests]


def within(history: History, plan: FoldPlan, horizon_ms: int) -> History:
    """The part of a history that the folds' inputs depend on.

    Args:
        history: all attempts.
        plan: of the folds.
        horizon_ms: the longest window of any counter.
    """
    tests = _test_days(history, plan)
    labelled = history.labelled_ms[history.fraud] - history.received_ms[history.fraud]
    in_time = labelled[labelled < horizon_ms * 10]
    back_ms = horizon_ms + int(in_time.max(initial=0))
    from_ms = (tests[0] - plan.delay_days - plan.train_days) * DAY_MS - back_ms
    rows = np.searchsorted(history.received_ms, [from_ms, (tests[-1] + TEST_DAYS) * DAY_MS])
    return history.take(np.arange(*rows))


def _test_days(history: History, plan: FoldPlan) -> list[int]:
    """First test day of each fold."""
    if plan.protocol is Protocol.BOOK:
        first = (BOOK_START - _EPOCH).days + TRAIN_DAYS + plan.delay_days
    else:
        first = int(history.day[-1]) + 1 - plan.folds * TEST_DAYS
    return [first + at * TEST_DAYS for at in range(plan.folds)]


def _fold(history: History, plan: FoldPlan, test_day: int, card: Int64s) -> Fold:
    until = test_day - plan.delay_days
    first = until - plan.train_days
    day = history.day
    train = np.flatnonzero((day >= first) & (day < until))
    tests = []
    for today in range(test_day, test_day + TEST_DAYS):
        known = card[(day >= until - TRAIN_DAYS) & history.known_fraud(today * DAY_MS)]
        rows = np.flatnonzero(day == today)
        tests.append(rows[~np.isin(card[rows], known[known >= 0])])
    test = np.concatenate(tests)
    if not history.known_fraud(test_day * DAY_MS)[train].any():
        raise HistoryError(
            f"no fraud of {_date(first)} to {_date(until - 1)} was known by {_date(test_day)}."
        )
    if not history.fraud[test].any():
        raise HistoryError(f"there is no fraud to find in the week from {_date(test_day)}.")
    return Fold(first_day=first, test_day=test_day, train=train, test=test)


def _date(day: int) -> str:
    return (_EPOCH + dt.timedelta(days=day)).isoformat()
