"""Feature sets: one declaration from which layouts, orders and columns follow."""

from __future__ import annotations

import dataclasses

import pytest

from app.features.events import Counted
from app.features.reference import REFERENCE
from app.features.rings import Ring
from app.features.sets import FEATURE_SETS, feature_set, inputs_as_recorded
from app.features.spec import (
    DAY_MS,
    HOUR_MS,
    REGIONS_PRESENT,
    Aggregate,
    Counter,
    Entity,
    Feature,
    FeatureSet,
    InputState,
    RequestInput,
)
from app.features.wide import INPUTS, WIDE

DAY = Ring(window_ms=DAY_MS)
ATTEMPTED = Counter(name="card_attempted", entity=Entity.CARD, ring=DAY)
each_set = pytest.mark.parametrize("features", FEATURE_SETS.values(), ids=FEATURE_SETS)


def described(name, **fields):
    return Feature(name=name, description="", code="X", **fields)


def made(**parts):
    """A set of one counter and its value, with some parts replaced."""
    whole = {
        "name": "small",
        "schema": 1,
        "counters": (ATTEMPTED,),
        "features": (described("card_attempted"),),
        "batch_counters": (),
        "batch_features": (),
        "request_numbers": (RequestInput(name="amount", description="", code="X"),),
        "request_categories": (),
    }
    return FeatureSet(**whole | parts)


# Orders.


@each_set
def test_the_inputs_of_the_batch_model_are_a_prefix_of_the_full_ones(features):
    batch, full = features.batch_inputs, features.full_inputs
    assert full.numbers[: len(batch.numbers)] == batch.numbers
    assert full.categories[: len(batch.categories)] == batch.categories


@each_set
def test_what_the_full_model_sees_besides_is_exactly_what_the_datastore_tells(features):
    batch, full = features.batch_inputs, features.full_inputs
    assert full.numbers[len(batch.numbers) :] == (
        REGIONS_PRESENT,
        *(feature.name for feature in features.features),
    )
    assert full.categories[len(batch.categories) :] == tuple(
        f"{entity}_counters_state" for entity in features.entities
    )


@each_set
def test_counters_of_the_entities_together_are_those_of_the_set(features):
    by_entity = [c for entity in features.entities for c in features.counters_of(entity)]
    assert sorted(by_entity, key=features.counters.index) == list(features.counters)


def test_entities_are_listed_once_in_the_order_of_their_first_counter():
    names = [(Entity.IP, "a"), (Entity.CARD, "b"), (Entity.IP, "c")]
    counters = tuple(Counter(name=name, entity=entity, ring=DAY) for entity, name in names)
    features = made(counters=counters, features=(), batch_counters=counters[1:])
    assert features.entities == (Entity.IP, Entity.CARD)
    assert features.batch_entities == (Entity.CARD, Entity.IP)
    assert features.snapshot_columns == {Entity.CARD: ("b",), Entity.IP: ("c",)}
    assert [counter.name for counter in features.counters_of(Entity.IP)] == ["a", "c"]


# What follows from the counters.


def test_the_horizon_of_an_entity_is_that_of_its_longest_window():
    assert REFERENCE.horizon_ms(Entity.IP) == HOUR_MS + HOUR_MS // 4
    assert REFERENCE.horizon_ms(Entity.MERCHANT) == (28 + 7 + 7) * DAY_MS  # window, bucket, lag


def test_the_snapshot_of_a_merchant_reaches_back_as_far_as_its_matured_attempts():
    assert REFERENCE.snapshot_horizon_ms(Entity.MERCHANT) == (28 + 7) * DAY_MS


def test_events_carry_bits_of_the_entities_that_are_told_apart():
    assert set(REFERENCE.told_apart) == {Entity.DEVICE, Entity.CARD, Entity.CUSTOMER}


# What no set may be.


@each_set
def test_no_entity_id_is_a_category(features):
    assert not {*Entity, *(f"{entity}_id" for entity in Entity)} & set(features.categories)


@each_set
def test_every_input_can_explain_a_score(features):
    names = (*features.numbers, *features.categories)
    assert set(features.codes) == set(names)
    assert len(set(names)) == len(names)
    assert all(features.codes.values())


@each_set
def test_distinct_ids_are_of_another_entity(features):
    for counter in features.counters:
        assert counter.of != counter.entity


def test_two_inputs_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two inputs named amount"):
        made(
            counters=(dataclasses.replace(ATTEMPTED, name="amount"),),
            features=(described("amount"),),
        )


def test_a_feature_of_a_counter_that_is_not_kept_is_refused():
    with pytest.raises(ValueError, match="needs nothing_such, which is not kept"):
        made(features=(described("mean", of=("nothing_such", "card_attempted")),))


def test_a_feature_of_two_entities_is_refused():
    other = dataclasses.replace(ATTEMPTED, name="ip_attempted", entity=Entity.IP)
    with pytest.raises(ValueError, match="mixes counters"):
        made(
            counters=(ATTEMPTED, other),
            features=(described("both", of=("card_attempted", "ip_attempted")),),
        )


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"aggregate": Aggregate.DISTINCT}, "says of what"),
        ({"of": Entity.DEVICE}, "says of what"),
        ({"aggregate": Aggregate.LAST, "minus": Counted.SUPERSEDED}, "nothing can be withdrawn"),
        (
            {"aggregate": Aggregate.LAST, "ring": Ring(window_ms=DAY_MS, lag_ms=DAY_MS)},
            "only sums can lag",
        ),
    ],
)
def test_a_counter_that_could_not_be_kept_is_refused(fields, why):
    with pytest.raises(ValueError, match=why):
        dataclasses.replace(ATTEMPTED, **fields)


# The sets.


def test_the_wide_set_is_the_reference_set_and_more():
    assert WIDE.counters[: len(REFERENCE.counters)] == REFERENCE.counters
    assert WIDE.features[: len(REFERENCE.features)] == REFERENCE.features
    assert len(WIDE.numbers) + len(WIDE.request_categories) == INPUTS
    assert set(WIDE.entities) == set(Entity)


def test_every_set_has_a_schema_of_its_own():
    schemas = [features.schema for features in FEATURE_SETS.values()]
    assert len(set(schemas)) == len(schemas)
    assert all(features.name == name for name, features in FEATURE_SETS.items())


def test_inputs_of_a_decision_are_found_by_its_schema():
    assert feature_set("reference") is REFERENCE
    assert inputs_as_recorded(str(REFERENCE.schema), "full") == REFERENCE.full_inputs
    assert inputs_as_recorded(str(WIDE.schema), "batch") == WIDE.batch_inputs
    assert inputs_as_recorded("0", "full") is None
    assert inputs_as_recorded(None, "full") is None


def test_kinds_of_events_are_a_set_with_names():
    assert Counted.of_names(["attempted", "declined"]) == Counted.ATTEMPTED | Counted.DECLINED
    assert Counted.of_names([]) is Counted.NOTHING
    with pytest.raises(KeyError):
        Counted.of_names(["unheard_of"])


def test_the_states_of_an_input_are_four():
    assert {state.value for state in InputState} == {
        b"not_mapped",
        b"never_seen",
        b"present",
        b"unavailable",
    }
