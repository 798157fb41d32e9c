"""The compiled kernel computes what numpy does, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.features import kernel
from app.features.applier import Applied
from app.features.formulas import Formulas
from app.features.merge import Ask, Merge, MergePlan, Reply
from app.features.packed import key, layouts_of
from app.features.reference import REFERENCE
from app.features.spec import Entity
from app.features.wide import WIDE
from fallback.errors import SourceUnavailable

pytestmark = pytest.mark.skipif(
    not kernel.BUILT, reason="the kernel is not built here: there was no C compiler"
)

T0 = 1_700_000_000_000
DAY_MS = 86_400_000
IDS = {entity: f"{entity}_1" for entity in Entity}


def random_values(features, rng, *, spread_ms):
    """A value of each entity with every byte behind the header at random, some old, some ahead."""
    found = {}
    for entity, reader in layouts_of(features).items():
        records = reader.layout.blank(1)
        raw = np.frombuffer(rng.bytes(reader.layout.size), dtype=reader.layout.dtype)
        for name in records.dtype.names[4:]:
            # Sums up to 2^32, squares and bitmaps up to 2^53: what float64 holds.
            records[name] = raw[name] >> (11 if records[name].dtype.itemsize == 8 else 0)
        records["base"] = T0 - int(rng.integers(-spread_ms, spread_ms))
        if reader.layout.last:
            records["last"] = T0 - rng.integers(-spread_ms, spread_ms, len(reader.layout.last))
        if rng.random() < 0.9:
            found[key("t", entity, IDS[entity])] = records.tobytes()
        elif rng.random() < 0.5:
            found[key("t", entity, IDS[entity])] = None
    return found


def merged(features, replies, now_ms, amount):
    some = {entity: IDS[entity] for entity in (Entity.CARD, Entity.MERCHANT)}
    asks = [Ask("t", IDS, amount), Ask("t", some, amount * 2), Ask("t", {}, amount)]
    merge = Merge(MergePlan(features), asks)
    for region, found, shards in replies:
        merge.add(Reply(region, [found.get(name) for name in merge.names()], shards))
    return merge.results(np.array([now_ms, now_ms + 977, now_ms]), read_ms=now_ms)


@given(
    seed=st.integers(0, 2**32),
    sources=st.integers(1, 3),
    shards=st.integers(1, 3),
    spread_days=st.sampled_from([0.001, 0.2, 3.0, 40.0]),
    features=st.sampled_from([REFERENCE, WIDE]),
)
@settings(max_examples=150, deadline=None)
def test_merging_gives_the_same_bits_as_numpy(seed, sources, shards, spread_days, features):
    rng = np.random.default_rng(seed)
    own = Applied(generation="g", ready=True, as_of_ms=T0, positions={})
    away = SourceUnavailable("away", dependency="r")
    replies = [
        (
            f"r{at}",
            random_values(features, rng, spread_ms=int(spread_days * DAY_MS)),
            tuple(own if rng.random() < 0.8 else away for _ in range(shards)),
        )
        for at in range(sources)
    ]
    compiled = merged(features, replies, T0, 1234.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "BUILT", False)
        by_numpy = merged(features, replies, T0, 1234.0)
    for one, other in zip(compiled, by_numpy, strict=True):
        if isinstance(one, SourceUnavailable):
            assert str(one) == str(other)
            continue
        assert one.inputs.tobytes() == other.inputs.tobytes()
        assert replace(one, inputs=None) == replace(other, inputs=None)


@given(seed=st.integers(0, 2**32), rows=st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_formulas_give_the_same_bits_as_numpy(seed, rows):
    rng = np.random.default_rng(seed)
    formulas = Formulas(WIDE.features, WIDE.counters)
    values = rng.choice([0.0, 1.0, 2.0, np.nan, 7.5, 1e9], (rows, len(WIDE.counters)))
    values *= rng.choice([1.0, rng.random()], values.shape)
    amount = rng.choice([np.nan, 0.0, 1999.0], rows)
    now_ms = np.full(rows, T0)
    with pytest.MonkeyPatch.context() as patch:
        compiled = formulas.inputs(values, amount=amount, now_ms=now_ms)
        patch.setattr(kernel, "BUILT", False)
        by_numpy = formulas.inputs(values, amount=amount, now_ms=now_ms)
    assert np.array_equal(np.isnan(compiled), np.isnan(by_numpy))
    known = ~np.isnan(compiled)
    assert compiled[known].tobytes() == by_numpy[known].tobytes()


@pytest.mark.parametrize(
    "spoiled",
    [
        b"",
        b"SD",
        b"XX" + bytes(400),
        "text",
        7,
    ],
)
def test_a_value_that_is_not_of_the_layout_is_handed_back_untouched(spoiled):
    entity, reader = next(iter(layouts_of(REFERENCE).items()))
    counters = REFERENCE.counters
    place = {counter.name: at for at, counter in enumerate(counters)}
    plan = kernel.fold_plan(reader.layout, REFERENCE.horizon_ms(entity), place)
    values = np.zeros((1, len(counters)))
    bitmaps = np.zeros((1, len(counters)), dtype=np.uint64)
    live = np.zeros((1, 1), dtype=bool)
    foreign = kernel.fold(
        [plan],
        [[(0, 0)]],
        [spoiled],
        np.array([T0]),
        values=values,
        bitmaps=bitmaps,
        live=live,
    )
    assert foreign == [(0, 0, spoiled)]
    assert not values.any()
    assert not bitmaps.any()
    assert not live.any()


def test_a_row_or_an_array_that_does_not_fit_is_refused():
    entity, reader = next(iter(layouts_of(REFERENCE).items()))
    place = {counter.name: at for at, counter in enumerate(REFERENCE.counters)}
    plan = kernel.fold_plan(reader.layout, REFERENCE.horizon_ms(entity), place)
    width = len(place)

    def fold(*, row=0, place=0, rows=1, wide=width, plan=plan, plans=1):
        return kernel.fold(
            [plan] * plans,
            [[(row, place)]],
            [reader.layout.blank(1).tobytes()],
            np.array([T0]),
            values=np.zeros((rows, wide)),
            bitmaps=np.zeros((rows, wide), dtype=np.uint64),
            live=np.zeros((1, rows), dtype=bool),
        )

    assert fold() == []
    with pytest.raises(IndexError):
        fold(row=1)
    with pytest.raises(IndexError):
        fold(row=-2)
    with pytest.raises(IndexError):
        fold(place=1)
    with pytest.raises(IndexError):
        fold(place=-1)
    with pytest.raises(ValueError, match="smaller than the plan"):
        fold(rows=0)
    with pytest.raises(ValueError, match="does not fit"):
        fold(wide=1)
    with pytest.raises(ValueError, match="does not fit"):
        fold(plan=plan._replace(size=20))
    with pytest.raises(ValueError, match="a layout for each"):
        fold(plans=2)


def test_entities_and_states_that_do_not_fit_are_refused():
    counters, entities = REFERENCE.counters, REFERENCE.entities

    def settle(names=(b"n", b"u", b"s", b"p"), of=0, rows=1):
        return kernel.settle(
            names,
            entity_of=np.full(len(counters), of),
            distinct=np.zeros(len(counters), dtype=np.int64),
            sources=1,
            mapped=np.ones((rows, len(entities)), dtype=bool),
            answered=np.ones((rows, len(entities)), dtype=np.int64),
            live=np.ones((len(entities), rows), dtype=bool),
            values=np.zeros((1, len(counters))),
            bitmaps=np.zeros((rows, len(counters)), dtype=np.uint64),
        )

    states, present, least = settle()
    assert states == [(b"p",) * len(entities)]
    assert (present.tolist(), least.tolist()) == ([1.0], [1.0])
    with pytest.raises(ValueError, match="four states"):
        settle(names=(b"n", b"u", b"s"))
    with pytest.raises(ValueError, match="of no entity"):
        settle(of=len(entities))
    with pytest.raises(ValueError, match="smaller than the plan"):
        settle(rows=0)
