"""SQL over history gives what the serving code served, as of the positions it had applied."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from app.features.events import Counted
from app.features.parity import same_numbers, served_parity
from app.features.reference import REFERENCE
from app.features.rehearsal import REGIONS, rehearse
from app.features.rings import Ring
from app.features.spec import DAY_MS, Counter
from app.features.wide import WIDE
from app.history.files import Checkpoint, HistoryError
from app.history.query import History
from app.models.training.mapped import read_history
from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate

EVENTS = 1_500


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """A home in which the last attempts of a small simulation were decided."""
    data = tmp_path_factory.mktemp("simulated")
    simulate(SimulatorConfig(attempts=10_000, days=4, fraud_share=0.05), data)
    home = tmp_path_factory.mktemp("home")
    rehearse(read_history(data), REFERENCE, home, events=EVENTS, shards=2, seed=3)
    return home


@pytest.fixture(scope="module")
def parity(rehearsed):
    return served_parity(rehearsed, REFERENCE, newest=EVENTS)


def test_sql_agrees_with_everything_that_was_served(parity):
    assert (parity.events, parity.mismatches, parity.shown) == (EVENTS, 0, [])
    assert (parity.features, parity.states) == (len(REFERENCE.features), len(REFERENCE.entities))


def test_decisions_were_made_on_counters_that_lagged_and_unevenly(rehearsed):
    with History(rehearsed) as history:
        (said,) = history.sql(
            "SELECT uniqExact(positions) AS views, "
            "countIf(positions['us-east-1/0'] != positions['us-east-1/1']) AS uneven, "
            "countIf(positions['us-east-1/0']['0/0'].seq < before) AS lagging FROM ("
            " SELECT rung, positions, (SELECT max(seq) FROM decisions WHERE region = 0 AND "
            " writer = 0) AS last, maxIf(seq, region = 0 AND writer = 0) OVER (ORDER BY as_of_ms "
            " RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM decisions"
            ") WHERE rung = 'full'"
        ).to_pylist()
    assert said["views"] > 20
    assert said["uneven"] > EVENTS / 4
    assert said["lagging"] > EVENTS / 4


def test_every_feature_has_values_other_than_nothing(rehearsed):
    with History(rehearsed) as history:
        width = len(REFERENCE.features)
        table = history.sql(
            f"SELECT arraySlice(numbers, -{width}) AS numbers FROM decisions WHERE rung = 'full'"
        )
    values = np.array(table["numbers"].to_pylist(), dtype=np.float32)
    found = ((values != 0) & ~np.isnan(values)).any(axis=0)
    assert {f.name for f, some in zip(REFERENCE.features, found, strict=True) if not some} == set()


@pytest.mark.parametrize(
    ("counter", "changed"),
    [
        ("card_amount_24h", {"ring": Ring(window_ms=DAY_MS, buckets=3)}),
        ("merchant_matured_7d", {"ring": Ring(window_ms=7 * DAY_MS)}),
        ("card_attempted_1h", {"minus": Counted.NOTHING}),
    ],
)
def test_a_counter_that_means_something_else_is_found(rehearsed, counter, changed):
    def mine(one: Counter) -> Counter:
        return dataclasses.replace(one, **changed) if one.name == counter else one

    other = dataclasses.replace(REFERENCE, counters=tuple(map(mine, REFERENCE.counters)))
    result = served_parity(rehearsed, other, newest=EVENTS)
    assert result.mismatches > 0
    concerned = {f.name for f in REFERENCE.features if counter in f.counters}
    assert {one.input for one in result.shown} <= concerned


def test_a_decision_on_events_that_history_does_not_have_yet_is_left_out(rehearsed):
    path = rehearsed / REGIONS[0] / "history" / "checkpoint.json"
    whole = path.read_bytes()
    checkpoint = msgspec.json.decode(whole, type=Checkpoint)
    behind = {name: (epoch, seq * 97 // 100) for name, (epoch, seq) in checkpoint.positions.items()}
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(checkpoint, positions=behind)))
    try:
        result = served_parity(rehearsed, REFERENCE, newest=EVENTS)
    finally:
        path.write_bytes(whole)
    assert 0 < result.events < EVENTS
    assert result.mismatches == 0


def test_a_history_without_decisions_of_the_features_says_so(rehearsed):
    with pytest.raises(HistoryError, match="no decision of the full rung with the features wide"):
        served_parity(rehearsed, WIDE, newest=EVENTS)


def test_the_newest_decisions_are_those_that_are_compared(rehearsed, parity):
    result = served_parity(rehearsed, REFERENCE, newest=10)
    assert (result.events, result.mismatches) == (10, 0)


def test_numbers_are_the_same_to_the_bit_or_not_at_all():
    served = np.array([0.1, 0.1, np.nan, np.nan, 1.0, np.inf], dtype=np.float32)
    computed = np.array([0.1, 0.1000001, np.nan, 1.0, np.nan, np.inf])
    assert same_numbers(served, computed).tolist() == [True, False, True, False, False, True]
