"""Which region received an attempt: the history's word, or a draw that is the same each time."""

import numpy as np
import pyarrow as pa
import pytest

from app.models.artifact import RegionFacts
from app.models.training.history import NEVER_MS, History
from app.models.training.regions import received_in
from app.models.training.train import _masked

CARDS, EACH = 300, 40


def history(*, regions=None, cards=True):
    """Attempts of some cards in turn; `regions` names one for each, in turn as well."""
    many = CARDS * EACH
    token = [f"tok_{at % CARDS}" if cards else None for at in range(many)]
    columns = {
        "attempt_id": [f"att_{at}" for at in range(many)],
        "instrument__token": pa.array(token, type=pa.string()),
    }
    if regions is not None:
        columns["region"] = [regions[at % len(regions)] for at in range(many)]
    return History(
        attempts=pa.table(columns),
        received_ms=np.arange(many),
        amount_ref=np.full(many, 100),
        fraud=np.zeros(many, dtype=bool),
        labelled_ms=np.full(many, NEVER_MS),
        merchants={},
        provenance="simulated",
    )


def test_drawn_regions_are_three_with_a_third_of_the_cards_each():
    received = received_in(history())
    assert (received.regions, received.drawn) == (3, True)
    by_card = received.region.reshape(EACH, CARDS).T
    home = np.array([np.bincount(one, minlength=3).argmax() for one in by_card])
    assert np.bincount(home, minlength=3) / CARDS == pytest.approx([1 / 3] * 3, abs=0.08)
    elsewhere = by_card != home[:, None]
    assert elsewhere.mean() == pytest.approx(0.1, abs=0.02)
    # To either of the two others equally often.
    further = (by_card - home[:, None])[elsewhere] % 3
    assert (further == 1).mean() == pytest.approx(0.5, abs=0.06)


def test_a_draw_is_the_same_whatever_else_is_in_the_history():
    made = history()
    some = np.arange(1_000, 3_000)
    assert (received_in(made).region[some] == received_in(made.take(some)).region).all()


def test_attempts_without_a_card_are_spread_over_the_regions():
    received = received_in(history(cards=False))
    shares = np.bincount(received.region) / len(received.region)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.02)


def test_regions_that_the_history_names_are_taken_at_its_word():
    received = received_in(history(regions=["eu", "us", "us", "ap", "eu", "us"]))
    assert (received.regions, received.drawn) == (3, False)
    assert received.region[:6].tolist() == [1, 0, 0, 2, 1, 0]


def test_a_history_of_two_regions_has_two():
    received = received_in(history(regions=["eu", "us", "us"]))
    assert received.regions == 2
    assert received.region[:3].tolist() == [1, 0, 0]


def test_of_more_than_three_regions_each_has_its_home_in_one_of_three():
    received = received_in(history(regions=["a", "b", "c", "d", "e"]))
    assert received.regions == 3
    assert received.region[:5].tolist() == [0, 1, 2, 0, 1]


def test_a_history_of_one_region_is_drawn():
    received = received_in(history(regions=["us"]))
    assert (received.regions, received.drawn) == (3, True)
    assert set(received.region.tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("worst", "masked"),
    [(0.61, ["entities", "regions"]), (0.60, ["entities", "regions"]), (0.59, ["entities"])],
)
def test_a_region_is_masked_only_where_the_worst_ranks_no_worse_than_batch(worst, masked):
    facts = RegionFacts(regions=3, drawn=True, mean=0.7, worst=worst, batch=0.6)
    assert _masked(facts) == masked
