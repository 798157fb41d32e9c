"""Regions with a real datastore, and stores that read them."""

from __future__ import annotations

import pytest

from app.features.online import OnlineStore
from app.features.reference import REFERENCE
from app.record.journal import open_journal
from tests.integration.counters.setting import AGE_MAX_MS, Region, wall_ms


@pytest.fixture
def regions(tmp_path, valkeys):
    """Makes regions."""
    made = []

    def make(name="us-east-1", *, shards=1):
        folder = tmp_path / "journals" / name
        journal = open_journal(folder, region=len(made))
        made.append(Region(name, journal, folder, [valkeys() for _ in range(shards)]))
        return made[-1]

    yield make
    for region in made:
        region.journal.close()


@pytest.fixture
def region(regions):
    return regions()


@pytest.fixture
async def store_of():
    """Makes stores that read regions."""
    stores = []

    def make(*regions, now_ms=wall_ms):
        sources = [region.source() for region in regions]
        stores.append(
            OnlineStore(sources, features=REFERENCE, now_ms=now_ms, age_max_ms=AGE_MAX_MS)
        )
        return stores[-1]

    yield make
    for store in stores:
        await store.close()
