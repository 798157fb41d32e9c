"""Which inputs an ablation takes away."""

from __future__ import annotations

import pytest

from app.features.reference import REFERENCE
from app.features.wide import WIDE
from app.models.training.ablation import of_last_day, streaming


@pytest.mark.parametrize("features", [REFERENCE, WIDE], ids=["reference", "wide"])
def test_without_streaming_inputs_those_of_the_batch_model_are_left(features):
    full, batch = features.full_inputs, features.batch_inputs
    left = {*full.numbers, *full.categories} - streaming(features)
    assert left == {*batch.numbers, *batch.categories}
    assert of_last_day(features) < streaming(features)


def test_velocity_and_what_gives_it_away_are_inputs_of_the_last_day():
    taken = of_last_day(REFERENCE)
    assert {"device_cards_24h", "ip_attempted_1h", "merchant_issuer_declined_1h"} <= taken
    # Present in counters of an hour: seen in that hour.
    assert {"ip_counters_state", "device_counters_state", "card_since_last_s"} <= taken
    assert not {"card_large_3d", "amount_deviation", "card_counters_state"} & taken
