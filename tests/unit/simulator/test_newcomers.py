"""A world with newcomers: fraud reaches them, and issuers launch number ranges."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate

CONFIG = SimulatorConfig(seed=11, attempts=15_000, fraud_share=0.03, newcomers=True)


def made(config, folder):
    """Attempts, and when each merchant opened."""
    simulate(config, folder)
    days = sorted((folder / "attempts").glob("day=*/part.parquet"))
    attempts = pa.concat_tables([pq.read_table(day, partitioning=None) for day in days])
    return attempts, pq.read_table(folder / "merchants.parquet")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return made(CONFIG, tmp_path_factory.mktemp("newcomers"))


@pytest.fixture(scope="module")
def settled_world(tmp_path_factory):
    return made(replace(CONFIG, newcomers=False), tmp_path_factory.mktemp("settled"))


def campaign_fraud_at_newcomers(world):
    """Fraud but friendly fraud, at merchants that opened during the simulation: when, and since."""
    attempts, merchants = world
    start = pc.min(attempts["received_at"])
    opened = merchants.filter(pc.greater(merchants["first_seen"], start))
    fraud = attempts.filter(pc.not_equal(attempts["fraud_pattern"], "friendly_fraud"))
    since = dict(
        zip(*(opened[name].to_pylist() for name in ("merchant_id", "first_seen")), strict=True)
    )
    pairs = zip(*(fraud[name].to_pylist() for name in ("merchant__id", "received_at")), strict=True)
    return [(at, since[merchant]) for merchant, at in pairs if merchant in since]


def bins_of(world, *, from_day):
    attempts, _ = world
    day = pc.days_between(pc.min(attempts["received_at"]), attempts["received_at"])
    later = pc.greater_equal(day, from_day)
    return tuple(
        set(attempts.filter(mask)["instrument__bin"].drop_null().to_pylist())
        for mask in (pc.invert(later), later)
    )


def test_fraud_reaches_merchants_that_opened_and_not_before_they_did(world):
    found = campaign_fraud_at_newcomers(world)
    assert found
    assert all(at >= since for at, since in found)


def test_without_newcomers_only_friendly_fraud_is_at_new_merchants(settled_world):
    assert not campaign_fraud_at_newcomers(settled_world)


def test_ranges_launched_during_the_simulation_appear_in_its_last_week(world, settled_world):
    before, after = bins_of(world, from_day=53)
    settled_before, settled_after = bins_of(settled_world, from_day=53)
    assert len(after - before) > len(settled_after - settled_before)


def test_all_number_ranges_are_different(world):
    attempts, _ = world
    columns = ["instrument__bin", "instrument__issuer_country", "instrument__brand"]
    kinds = attempts.select(columns).drop_null().group_by(columns).aggregate([]).to_pylist()
    assert len({kind["instrument__bin"] for kind in kinds}) == len(kinds)


def test_victims_are_there_before_they_are_robbed(world):
    attempts, _ = world
    taken = attempts.filter(pc.equal(attempts["fraud_pattern"], "account_takeover"))
    known = taken.filter(taken["customer__account_created_at"].is_valid())
    assert len(known) > 10
    assert pc.all(pc.less(known["customer__account_created_at"], known["received_at"])).as_py()
