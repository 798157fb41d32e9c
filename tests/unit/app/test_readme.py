"""What a command writes into the README is what it makes of the figures that are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.marked_section import read_section
from app.models.training.price_list import load_price_list
from app.models.training.price_tables import sections

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "docs" / "results" / "prices.json"
RUNGS = ["full", "full, one region of three away", "batch", "rules", "tier_default"]


@pytest.mark.parametrize("name", ["prices", "patterns"])
def test_the_readme_shows_the_kept_prices(name):
    assert read_section(ROOT / "README.md", name) == sections(load_price_list(KEPT))[name]


def test_both_data_are_kept_with_every_rung():
    kept = load_price_list(KEPT)
    assert [one.data for one in kept.priced] == ["simulated", "public"]
    for one in kept.priced:
        assert list(one.rungs) == RUNGS
