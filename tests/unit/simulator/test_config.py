from __future__ import annotations

import datetime as dt

import pytest

from app.simulator.config import PatternMix, RegionMix, SimulatorConfig


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"seed": -1}, "seed must be 0 or more"),
        ({"days": 0}, "days must be from 1 to 730"),
        ({"attempts": 999}, "attempts must be 1000 or more"),
        ({"regions": ()}, "regions must name at least one region"),
        ({"merchants": 19}, "merchants must be 20 or more"),
        ({"customers": 99}, "customers must be 100 or more"),
        ({"fraud_share": 0.21}, "fraud_share must be from 0 to 0.2"),
        ({"new_pattern_from": 0}, "new_pattern_from must be from 1 to 60, the last day"),
        ({"new_pattern_from": 61}, "new_pattern_from must be from 1 to 60, the last day"),
        ({"new_pattern_share": 0.0}, "new_pattern_share must be above 0, at most 1"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        SimulatorConfig(**settings)


def test_two_regions_of_one_name_are_refused():
    one = RegionMix(name="a", weight=1, countries=("US",), utc_offset_h=0)
    two = RegionMix(name="a", weight=1, countries=("CA",), utc_offset_h=0)
    with pytest.raises(ValueError, match=r"^regions must have different names$"):
        SimulatorConfig(regions=(one, two))


def test_a_country_at_home_in_two_regions_is_refused():
    one = RegionMix(name="a", weight=1, countries=("US",), utc_offset_h=0)
    two = RegionMix(name="b", weight=1, countries=("US",), utc_offset_h=0)
    with pytest.raises(ValueError, match=r"^a country can have only one home region$"):
        SimulatorConfig(regions=(one, two))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"weight": 0}, "the weight of region 'a' must be above 0"),
        ({"countries": ()}, "region 'a' needs at least one home country"),
        ({"utc_offset_h": 15}, "utc_offset_h of region 'a' must be from -12 to 14"),
    ],
)
def test_a_region_without_traffic_is_refused(settings, sentence):
    usual = {"name": "a", "weight": 1.0, "countries": ("US",), "utc_offset_h": 0}
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        RegionMix(**(usual | settings))


def test_pattern_shares_must_add_up_to_one():
    with pytest.raises(ValueError, match=r"must be 0 or more and add up to 1$"):
        PatternMix(card_testing=0.5, stolen_card=0.5, merchant_compromise=0.5)


def test_a_share_that_is_set_leaves_the_others_their_proportions():
    mix = PatternMix().with_shares({"card_testing": 0.58})
    assert mix.card_testing == 0.58
    assert mix.stolen_card == pytest.approx(0.13)
    assert mix.friendly_fraud == pytest.approx(0.04)


def test_a_share_of_an_unknown_pattern_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^there is no fraud pattern 'ghosts'; there are card_"):
        PatternMix().with_shares({"ghosts": 0.5})


def test_shares_beyond_the_whole_are_refused():
    with pytest.raises(ValueError, match=r"add up to 1$"):
        PatternMix().with_shares({"card_testing": 0.7, "stolen_card": 0.7})


def test_customers_and_merchants_follow_from_the_attempts_unless_set():
    derived = SimulatorConfig(attempts=1_000_000)
    assert (derived.merchant_count, derived.customer_count) == (4_000, 71_428)
    chosen = SimulatorConfig(merchants=20, customers=100)
    assert (chosen.merchant_count, chosen.customer_count) == (20, 100)


def test_the_bounds_are_midnights():
    config = SimulatorConfig(start=dt.date(2026, 7, 1), days=2)
    assert config.start_ms == 1_782_864_000_000
    assert config.end_ms - config.start_ms == 2 * 86_400_000
