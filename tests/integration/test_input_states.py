"""What is not known, in each of its four ways, is something else to the models."""

from itertools import combinations

import numpy as np
import pytest

from app.features.reference import REFERENCE
from app.features.spec import Entity, InputState
from app.models.artifact import load_artifact
from app.models.training.history import load_history
from app.models.training.inputs import inputs_of
from app.publish import current

ROWS = 1_000
# The values of counters in each state; as they are where they are present.
VALUES = {
    InputState.NEVER_SEEN: 0.0,
    InputState.UNAVAILABLE: np.nan,
    InputState.NOT_MAPPED: np.nan,
}


@pytest.fixture(scope="module")
def model(trained):
    folder = trained / "registry" / "model"
    return load_artifact(folder, current(folder)).full


@pytest.fixture(scope="module")
def table(trained):
    history = load_history(trained / "data")
    return inputs_of(history.take(np.arange(60_000)), REFERENCE)


def scores(model, table, entity):
    """Raw scores of the same attempts, by what is known of one of their entities."""
    state_at = REFERENCE.categories.index(f"{entity}_counters_state")
    present = np.flatnonzero(table.categories[:, state_at] == InputState.PRESENT.value)
    known = table.take(present[:ROWS])
    entity_of = {counter.name: counter.entity for counter in REFERENCE.counters}
    columns = [
        REFERENCE.numbers.index(feature.name)
        for feature in REFERENCE.features
        if entity_of[feature.counters[0]] is entity
    ]
    found = {InputState.PRESENT: model.raw(known.numbers, known.categories)}
    for state, value in VALUES.items():
        numbers, categories = known.numbers.copy(), known.categories.copy()
        numbers[:, columns] = value
        categories[:, state_at] = state.value
        found[state] = model.raw(numbers, categories)
    return found


@pytest.mark.parametrize("entity", [Entity.CARD, Entity.DEVICE, Entity.IP, Entity.EMAIL])
def test_an_entity_that_is_present_never_seen_or_unavailable_scores_differently(
    model, table, entity
):
    found = scores(model, table, entity)
    told_apart = (InputState.PRESENT, InputState.NEVER_SEEN, InputState.UNAVAILABLE)
    for one, other in combinations(told_apart, 2):
        assert np.mean(found[one] != found[other]) > 0.5, (one, other)


def test_an_entity_that_the_caller_never_sends_is_no_outage(model, table):
    """Where attempts without the id look like those whose store is away, the two may be alike."""
    apart = [
        np.any(found[InputState.NOT_MAPPED] != found[InputState.UNAVAILABLE])
        for entity in (Entity.DEVICE, Entity.IP, Entity.EMAIL)
        if (found := scores(model, table, entity))
    ]
    assert any(apart)


def test_an_outage_does_not_look_like_a_crowd_of_new_customers(model, table):
    """Scores move less when what is known of cards is away than when all cards seem to be new."""
    found = scores(model, table, Entity.CARD)
    moved = {
        state: np.mean(np.abs(raw - found[InputState.PRESENT])) for state, raw in found.items()
    }
    assert moved[InputState.UNAVAILABLE] != pytest.approx(moved[InputState.NEVER_SEEN], rel=0.01)
