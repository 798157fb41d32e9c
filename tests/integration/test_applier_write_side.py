"""The measurement of what it costs to count a decision."""

from __future__ import annotations

import pytest

from app.features.packed import layouts_of
from app.features.reference import REFERENCE
from app.features.wide import WIDE
from chaos.bench.write_side import measure_write_side


@pytest.mark.parametrize(("features", "changes"), [(REFERENCE, 5), (WIDE, 7)], ids=["40", "340"])
def test_the_write_side_is_measured_with_real_servers(features, changes):
    cost = measure_write_side(features, shards=2, decisions=600, batch=128)
    assert cost.name == f"{features.name}/2"
    assert cost.changes_per_decision == changes
    assert cost.decisions > 0
    assert cost.applier_us > 0
    assert cost.datastore_us > 0
    assert cost.decisions_per_core_second == pytest.approx(1e6 / cost.applier_us)
    sizes = [reader.layout.size for reader in layouts_of(features).values()]
    assert cost.bytes_per_entity_mean < cost.bytes_per_entity_max == max(sizes)
    # A merchant is written once a batch, whatever happened there, so less is sent than is changed.
    assert 0 < cost.replicated_bytes < 2 * sum(sizes)
