"""The specification: one list from which layouts, orders and columns follow."""

from __future__ import annotations

import pytest

from app.features.spec import (
    BATCH,
    BATCH_ENTITIES,
    CATEGORIES,
    DAY_MS,
    HOUR_MS,
    NUMBERS,
    RATIOS,
    REQUEST_CATEGORIES,
    REQUEST_NUMBERS,
    STREAMING,
    STREAMING_ENTITIES,
    Aggregate,
    Entity,
    InputState,
    batch_inputs,
    counters_of,
    full_inputs,
    horizon_ms,
)


def test_the_inputs_of_the_batch_model_are_a_prefix_of_the_full_ones():
    batch, full = batch_inputs(), full_inputs()
    assert full.numbers[: len(batch.numbers)] == batch.numbers
    assert full.categories[: len(batch.categories)] == batch.categories


def test_what_the_full_model_sees_besides_is_exactly_what_the_datastore_tells():
    batch, full = batch_inputs(), full_inputs()
    assert full.numbers[len(batch.numbers) :] == tuple(counter.name for counter in STREAMING)
    assert full.categories[len(batch.categories) :] == tuple(
        f"{entity}_counters_state" for entity in STREAMING_ENTITIES
    )


def test_names_of_inputs_are_unique():
    names = (*NUMBERS, *CATEGORIES)
    assert len(set(names)) == len(names)


def test_every_input_of_the_specification_is_an_input_of_the_full_model():
    numbers = {spec.name for spec in (*REQUEST_NUMBERS, *BATCH, *STREAMING)} | set(RATIOS)
    assert set(full_inputs().numbers) == numbers
    assert {spec.name for spec in REQUEST_CATEGORIES} < set(full_inputs().categories)


def test_ratios_are_made_of_a_request_value_and_a_batch_value():
    for request, batch in RATIOS.values():
        assert request in {spec.name for spec in REQUEST_NUMBERS}
        assert batch in {spec.name for spec in BATCH}


def test_entities_are_listed_once_in_the_order_of_their_first_input():
    assert STREAMING_ENTITIES == (Entity.CARD, Entity.DEVICE, Entity.IP)
    assert BATCH_ENTITIES == (Entity.CARD, Entity.MERCHANT)


def test_counters_of_an_entity_keep_the_order_of_the_specification():
    assert [counter.name for counter in counters_of(Entity.CARD)] == [
        "card_attempted_1h",
        "card_attempted_24h",
        "card_amount_24h",
    ]
    assert [c for entity in STREAMING_ENTITIES for c in counters_of(entity)] == list(STREAMING)


def test_the_horizon_of_an_entity_is_that_of_its_longest_window():
    assert horizon_ms(Entity.CARD) == DAY_MS + DAY_MS // 4
    assert horizon_ms(Entity.IP) == HOUR_MS + HOUR_MS // 4


def test_counters_of_distinct_ids_name_the_entity_told_apart():
    for counter in STREAMING:
        if counter.aggregate is Aggregate.DISTINCT:
            assert counter.of in set(Entity)
            assert counter.of != counter.entity


@pytest.mark.parametrize("entity", Entity)
def test_no_entity_id_is_a_category(entity):
    assert f"{entity}_id" not in CATEGORIES
    assert entity not in CATEGORIES


def test_the_states_of_an_input_are_four():
    assert {state.value for state in InputState} == {
        b"not_mapped",
        b"never_seen",
        b"present",
        b"unavailable",
    }
