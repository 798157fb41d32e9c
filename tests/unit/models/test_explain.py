"""Explanations of scores: they add up, and end in reason codes."""

from __future__ import annotations

import numpy as np
import pytest
from catboost import CatBoost, CatBoostError, FeaturesData, Pool

from app.features.sets import FEATURE_SETS
from app.models.artifact import Calibration, RungFacts, RungModel, objects
from app.models.explain import CODE_OF_INPUT, CODES_MAX, SUM_TOLERANCE, explain
from app.record.reasons import CATALOGUE

INPUTS = ("amount_ref", "card_attempted_1h", "card_attempted_24h", "account_age_days")
KINDS = [[b"phone"], [b"desktop"]]
ROWS = 64


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    numbers = rng.uniform(0, 10, (400, len(INPUTS))).astype(np.float32)
    return numbers, objects([KINDS[at % 2] for at in range(len(numbers))])


@pytest.fixture(scope="module")
def model(rows):
    """Fraud grows with the attempts of the card, with the amount, and on phones."""
    numbers, categories = rows
    fraud = numbers[:, 1] + numbers[:, 2] + 0.5 * numbers[:, 0] + 2 * (categories[:, 0] == b"phone")
    classifier = CatBoost(
        {
            "loss_function": "Logloss",
            "iterations": 30,
            "depth": 3,
            "random_seed": 1,
            "thread_count": 1,
            "verbose": False,
            "allow_writing_files": False,
        }
    )
    data = FeaturesData(num_feature_data=numbers, cat_feature_data=categories)
    classifier.fit(Pool(data, (fraud > np.median(fraud)).astype(float)))
    facts = RungFacts(
        numbers=[*INPUTS],
        categories=["device_kind"],
        calibration=Calibration(slope=1.0, intercept=0.0),
        metrics={},
    )
    return RungModel(classifier, facts)


@pytest.fixture(scope="module")
def explanations(model, rows):
    return explain(model, rows[0][:ROWS], rows[1][:ROWS])


def test_every_input_of_the_models_has_one_code_of_the_catalogue():
    for features in FEATURE_SETS.values():
        assert {*features.numbers, *features.categories} <= CODE_OF_INPUT.keys()
    assert set(CODE_OF_INPUT.values()) <= CATALOGUE.keys()


def test_base_and_contributions_add_up_to_the_raw_score(model, rows, explanations):
    raws = model.raw(rows[0][:ROWS], rows[1][:ROWS])
    assert [e.raw for e in explanations] == pytest.approx(raws, abs=SUM_TOLERANCE)
    assert len({e.base for e in explanations}) == 1


def test_contributions_name_every_input_the_largest_first(explanations):
    for explanation in explanations:
        assert set(explanation.contributions) == {*INPUTS, "device_kind"}
        sizes = [abs(value) for value in explanation.contributions.values()]
        assert sizes == sorted(sizes, reverse=True)


def test_inputs_of_one_code_are_summed_before_codes_are_compared(explanations):
    for explanation in explanations:
        of = explanation.contributions
        velocity = of["card_attempted_1h"] + of["card_attempted_24h"]
        singles = (of["amount_ref"], of["account_age_days"], of["device_kind"])
        raised = sum(max(0.0, value) for value in (velocity, *singles))
        share = explanation.shares.get("VELOCITY_CARD", 0.0)
        assert share * raised == pytest.approx(max(0.0, velocity))


def test_codes_are_those_that_raised_the_score_strongest_first(explanations):
    for explanation in explanations:
        shares = list(explanation.shares.values())
        assert len(shares) <= CODES_MAX
        assert all(0 < share <= 1 for share in shares)
        assert shares == sorted(shares, reverse=True)


def test_the_cause_of_a_high_score_comes_first(model):
    burst = np.array([[1.0, 9.9, 9.9, 5.0]], dtype=np.float32)
    (explanation,) = explain(model, burst, objects([[b"desktop"]]))
    assert next(iter(explanation.shares)) == "VELOCITY_CARD"


def test_where_nothing_raised_the_score_there_is_no_code(explanations):
    quiet = [e for e in explanations if max(e.contributions.values()) <= 0]
    assert quiet
    assert not any(explanation.shares for explanation in quiet)


def test_a_row_is_explained_alike_alone_and_among_others(model, rows, explanations):
    (alone,) = explain(model, rows[0][5:6], rows[1][5:6])
    assert alone.contributions == pytest.approx(explanations[5].contributions, abs=1e-12)


def test_a_row_that_is_too_short_is_refused(model):
    with pytest.raises(CatBoostError):
        explain(model, np.zeros((1, 2), dtype=np.float32), objects([[b"phone"]]))
