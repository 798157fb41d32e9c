"""Counters and features in SQL are those of the packed values, to the last bit."""

from __future__ import annotations

import random

import numpy as np
import pytest

from app.features.blocks import Events
from app.features.events import Counted
from app.features.formulas import Formulas
from app.features.packed import layouts_of
from app.features.reference import REFERENCE
from app.features.spec import DAY_MS, HOUR_MS, Entity
from app.features.sql import COUNTED, counter_sql, formula_sql, seen_sql
from app.features.wide import WIDE
from app.history.query import History

NOW_MS = 1_000 * DAY_MS + 7 * HOUR_MS + 12_345
KINDS = [int(kind) for kind in Counted if kind] + [
    int(Counted.ATTEMPTED | Counted.LARGE),
    int(Counted.ATTEMPTED | Counted.DECLINED),
]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    with History(tmp_path_factory.mktemp("home")) as empty:
        yield empty


def events(count, *, seed, span_ms=60 * DAY_MS):
    rng = random.Random(seed)
    ages = sorted((int(span_ms * rng.random() ** 4) + 1 for _ in range(count)), reverse=True)
    return Events(
        at_ms=np.array([NOW_MS - age for age in ages]),
        what=np.array([rng.choice(KINDS) for _ in ages]),
        amount=np.array([rng.choice([0, 99, 12_345, 20_000_000]) for _ in ages]),
        bits={
            entity: np.array([rng.choice([0, 1 << rng.randrange(64)]) for _ in ages], np.uint64)
            for entity in Entity
        },
    )


def rows_sql(of):
    """The events as a table with the columns of `COUNTED`."""
    bits = [f"{entity}_bit" for entity in of.bits]
    rows = zip(
        of.at_ms.tolist(),
        of.what.tolist(),
        of.amount.tolist(),
        (np.minimum(of.amount, 10_000_000) ** 2).tolist(),
        *(column.tolist() for column in of.bits.values()),
        strict=True,
    )
    names = ["at_ms", "what", "amount", "squares", *bits]
    columns = ", ".join(
        f"{'toUInt64' if name not in {'at_ms', 'what'} else 'toInt64'}(row.{at}) AS {name}"
        for at, name in enumerate(names, 1)
    )
    return f"SELECT 1 AS n, {columns} FROM (SELECT arrayJoin([{', '.join(map(str, rows))}]) AS row)"


@pytest.mark.parametrize(
    ("features", "seed"),
    [(REFERENCE, 1), (REFERENCE, 2), (REFERENCE, 3), (WIDE, 4)],
    ids=["reference", "again", "and-again", "wide"],
)
def test_every_counter_in_sql_is_that_of_the_packed_value(history, features, seed):
    happened = events(400, seed=seed)
    for entity, reader in layouts_of(features).items():
        layout = reader.layout
        records = layout.blank(1)
        layout.apply(records, np.zeros(len(happened.at_ms), dtype=np.int64), happened)
        windows = layout.windows(records, np.array([NOW_MS]))
        served = {
            **dict(zip(layout.additive, np.maximum(windows.totals[0], 0.0), strict=True)),
            **dict(zip(layout.distinct, np.bitwise_count(windows.bitmaps[0]), strict=True)),
            **dict(zip(layout.last, windows.last_ms[0], strict=True)),
        }
        said = ", ".join(f"{counter_sql(c, as_of=str(NOW_MS))} AS {c.name}" for c in served)
        (computed,) = history.sql(f"SELECT {said} FROM ({rows_sql(happened)})").to_pylist()
        assert computed == {counter.name: value for counter, value in served.items()}, entity


def test_an_entity_is_seen_up_to_its_horizon_and_not_beyond(history):
    counters = REFERENCE.counters_of(Entity.BIN)
    horizon_ms = REFERENCE.horizon_ms(Entity.BIN)

    def seen(age_ms, what):
        one = events(1, seed=1)
        one.at_ms[:], one.what[:] = NOW_MS - age_ms, int(what)
        asked = seen_sql(counters, as_of=str(NOW_MS), horizon_ms=horizon_ms)
        return history.sql(f"SELECT {asked} AS seen FROM ({rows_sql(one)})")["seen"][0].as_py()

    assert seen(horizon_ms, Counted.ISSUER_DECLINED)
    assert not seen(horizon_ms + 1, Counted.ISSUER_DECLINED)
    assert not seen(1, Counted.ATTEMPTED)


@pytest.mark.parametrize("amount", [0.0, 4_200.0, float("nan")])
def test_every_formula_in_sql_is_that_of_serving(history, amount):
    rng = np.random.default_rng(5)
    counters = REFERENCE.counters
    values = rng.choice([0.0, 1.0, 2.0, 2.5, 700.25, 1e9], (200, len(counters)))
    values[0] = np.nan  # what is not known of an entity is not known of any of its counters
    served = Formulas(REFERENCE.features, counters).inputs(
        values, amount=np.full(200, amount), now_ms=np.full(200, NOW_MS)
    )
    column = {counter.name: f"row[{at}]" for at, counter in enumerate(counters, 1)}
    said = ", ".join(
        formula_sql(feature, column=column, amount=repr(amount), now=str(NOW_MS)) + f" AS f{at}"
        for at, feature in enumerate(REFERENCE.features)
    )
    rows = ", ".join(str(row) for row in values.tolist())
    table = history.sql(f"SELECT {said} FROM (SELECT arrayJoin([{rows}]) AS row)")
    computed = np.stack([table[name].to_numpy() for name in table.column_names], axis=1)
    np.testing.assert_array_equal(computed.astype(np.float32), served)


def test_events_of_an_empty_history_are_none(history):
    assert history.sql(COUNTED).num_rows == 0
