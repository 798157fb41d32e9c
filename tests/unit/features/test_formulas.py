"""Features as formulas over counters: each formula, and where it has no value."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.features.formulas import PRIOR_ATTEMPTS, PRIOR_RATE, Formulas
from app.features.rings import Ring
from app.features.spec import DAY_MS, Counter, Entity, Feature, Formula

NOW_MS = 1_700_000_000_000
NAMES = ("count", "total", "squares", "fraud", "matured", "last")
COUNTERS = [Counter(name=name, entity=Entity.CARD, ring=Ring(window_ms=DAY_MS)) for name in NAMES]
OF = {
    Formula.VALUE: ("count",),
    Formula.MEAN: ("total", "count"),
    Formula.RATIO: ("total", "count"),
    Formula.DEVIATION: ("total", "count", "squares"),
    Formula.RATE: ("fraud", "matured"),
    Formula.SINCE: ("last",),
}


def feature(formula, name="f"):
    return Feature(name=name, formula=formula, of=OF[formula], description="", code="X")


def computed(formula, *, amount=100.0, **counters):
    values = np.array([[counters.get(name, 0.0) for name in NAMES]])
    return Formulas([feature(formula)], COUNTERS).inputs(
        values, amount=np.array([amount]), now_ms=np.array([NOW_MS])
    )[0, 0]


def of_payments(*amounts):
    return {
        "count": len(amounts),
        "total": sum(amounts),
        "squares": sum(amount**2 for amount in amounts),
    }


def test_a_value_is_the_counter_itself():
    assert computed(Formula.VALUE, count=3) == 3


def test_a_mean_is_the_total_over_the_count():
    assert computed(Formula.MEAN, **of_payments(10, 20, 60)) == 30


def test_a_ratio_is_the_amount_over_the_mean():
    assert computed(Formula.RATIO, amount=75.0, **of_payments(10, 20, 60)) == 2.5


def test_a_deviation_is_in_standard_deviations_from_the_mean():
    assert computed(Formula.DEVIATION, amount=70.0, **of_payments(20, 40)) == 4.0
    assert computed(Formula.DEVIATION, amount=10.0, **of_payments(20, 40)) == -2.0


def test_a_card_that_always_pays_the_same_deviates_by_a_twentieth():
    assert computed(Formula.DEVIATION, amount=110.0, **of_payments(100, 100, 100)) == 2.0


def test_a_variance_that_rounds_below_nothing_is_nothing():
    assert computed(
        Formula.DEVIATION, amount=110.0, count=3, total=300, squares=29_999
    ) == pytest.approx(2.0)


def test_a_rate_is_shrunk_towards_the_usual_one():
    assert computed(Formula.RATE, fraud=0, matured=0) == pytest.approx(PRIOR_RATE)
    assert computed(Formula.RATE, fraud=30, matured=900) == pytest.approx(
        (30 + PRIOR_RATE * PRIOR_ATTEMPTS) / 1_000
    )


def test_since_is_in_seconds():
    assert computed(Formula.SINCE, last=NOW_MS - 2_500) == 2.5


@pytest.mark.parametrize(
    ("formula", "counters"),
    [
        (Formula.MEAN, of_payments()),
        (Formula.RATIO, of_payments()),
        (Formula.RATIO, of_payments(0, 0)),
        (Formula.DEVIATION, of_payments(50)),
        (Formula.DEVIATION, of_payments(0, 0)),
        (Formula.SINCE, {"last": 0}),
    ],
)
def test_there_is_no_value_where_the_formula_has_none(formula, counters):
    assert math.isnan(computed(formula, **counters))


@pytest.mark.parametrize("formula", Formula)
def test_what_is_not_known_stays_unknown(formula):
    assert math.isnan(computed(formula, **dict.fromkeys(OF[formula], math.nan)))


@pytest.mark.parametrize("formula", [Formula.RATIO, Formula.DEVIATION])
def test_without_an_amount_nothing_compares_with_it(formula):
    assert math.isnan(computed(formula, amount=math.nan, **of_payments(10, 20)))


def test_features_stand_in_their_own_order_whatever_their_formulas():
    features = [
        feature(Formula.RATE, "a"),
        feature(Formula.VALUE, "b"),
        feature(Formula.MEAN, "c"),
        feature(Formula.VALUE, "d"),
    ]
    values = np.array([[2.0, 10.0, 0.0, 0.0, 0.0, 0.0], [4.0, 12.0, 0.0, 0.0, 0.0, 0.0]])
    inputs = Formulas(features, COUNTERS).inputs(
        values, amount=np.full(2, 1.0), now_ms=np.full(2, NOW_MS)
    )
    assert inputs.dtype == np.float32
    assert inputs[:, 1:].tolist() == [[2, 5, 2], [4, 3, 4]]
