from __future__ import annotations

import datetime as dt
import json
import re

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.api.wire import Attempt
from app.models.training.history import load_history
from app.simulator.config import PatternMix, RegionMix, SimulatorConfig
from app.simulator.generate import Summary, simulate

SMALL = SimulatorConfig(seed=3, attempts=2_000, days=4)
TEXT, COUNT, FLAG, INSTANT = pa.string(), pa.int64(), pa.bool_(), pa.timestamp("ms", tz="UTC")
NUMBER = pa.float64()
COLUMNS = {
    "attempt_id": TEXT,
    "received_at": INSTANT,
    "region": TEXT,
    "amount__value": COUNT,
    "amount__currency": TEXT,
    "amount_ref": COUNT,
    "merchant__id": TEXT,
    "merchant__terminal_id": TEXT,
    "instrument__token": TEXT,
    "instrument__bin": TEXT,
    "instrument__brand": TEXT,
    "instrument__funding": TEXT,
    "instrument__issuer_country": TEXT,
    "transaction__kind": TEXT,
    "transaction__channel": TEXT,
    "transaction__entry_mode": TEXT,
    "transaction__avs": TEXT,
    "transaction__cvv": TEXT,
    "transaction__three_ds__version": TEXT,
    "transaction__three_ds__status": TEXT,
    "transaction__three_ds__eci": TEXT,
    "transaction__three_ds__liability_shift": FLAG,
    "customer__id": TEXT,
    "customer__account_created_at": INSTANT,
    "customer__email_hash": TEXT,
    "customer__email_domain": TEXT,
    "attributes__password_age_days": NUMBER,
    "attributes__email_age_days": NUMBER,
    "device__id": TEXT,
    "device__kind": TEXT,
    "device__os": TEXT,
    "device__browser": TEXT,
    "device__emulator": FLAG,
    "network__ip_hash": TEXT,
    "network__ip_country": TEXT,
    "network__ip_asn": COUNT,
    "network__proxy": FLAG,
    "address__billing_country": TEXT,
    "address__shipping_country": TEXT,
    "address__shipping_matches_billing": FLAG,
    "address__delivery": TEXT,
    "basket__items": COUNT,
    "basket__gift_cards": FLAG,
    "fraud": FLAG,
    "fraud_pattern": TEXT,
}
ENTITY_IDS = (
    "attempt_id",
    "merchant__id",
    "merchant__terminal_id",
    "instrument__token",
    "customer__id",
    "customer__email_hash",
    "device__id",
    "network__ip_hash",
)


def content(summary: Summary) -> dict[str, object]:
    """Everything a folder holds, by relative path."""
    files = sorted(path for path in summary.folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(summary.folder)): pq.read_table(path, partitioning=None).to_pylist()
        if path.suffix == ".parquet"
        else path.read_text(encoding="utf-8")
        for path in files
    }


def test_the_same_seed_gives_the_same_content(tmp_path):
    assert content(simulate(SMALL, tmp_path / "a")) == content(simulate(SMALL, tmp_path / "b"))


def test_another_seed_gives_other_content(tmp_path):
    other = SimulatorConfig(seed=4, attempts=2_000, days=4)
    one = content(simulate(SMALL, tmp_path / "a"))
    two = content(simulate(other, tmp_path / "b"))
    assert (
        one["attempts/day=2026-07-01/part.parquet"] != two["attempts/day=2026-07-01/part.parquet"]
    )


def test_columns_are_the_fields_of_the_wire_and_the_truth(attempts: pa.Table):
    assert {field.name: field.type for field in attempts.schema} == COLUMNS


def test_there_is_one_file_a_day_and_each_holds_its_own_day(summary: Summary):
    files = sorted((summary.folder / "attempts").glob("day=*/part.parquet"))
    assert len(files) == 60
    for offset, file in enumerate(files):
        day = dt.date(2026, 7, 1) + dt.timedelta(days=offset)
        assert file.parent.name == f"day={day}"
        received = pq.read_table(file, partitioning=None)["received_at"]
        assert {moment.date() for moment in received.to_pylist()} == {day}


def test_attempts_are_sorted_by_receipt(attempts: pa.Table):
    assert (np.diff(attempts["received_at"].cast(pa.int64()).to_numpy()) >= 0).all()


def test_volume_and_fraud_rate_are_near_what_was_asked_for(summary: Summary, attempts: pa.Table):
    assert summary.attempts == attempts.num_rows
    assert abs(summary.attempts - 30_000) < 900
    assert 0.014 < summary.fraud_rate < 0.03
    assert min(summary.fraud.values()) > 0


def test_a_world_without_fraud_has_no_labels(tmp_path):
    honest = SimulatorConfig(attempts=2_000, days=4, fraud_share=0)
    summary = simulate(honest, tmp_path)
    assert summary.fraud_rate == 0
    assert summary.labels == 0


def test_one_pattern_alone_can_be_asked_for(tmp_path):
    only = PatternMix().with_shares({"card_testing": 1})
    summary = simulate(
        SimulatorConfig(attempts=2_000, days=4, fraud_share=0.1, patterns=only), tmp_path
    )
    assert summary.fraud["card_testing"] > 0
    assert [name for name, count in summary.fraud.items() if count] == ["card_testing"]


def test_one_region_with_one_country_is_a_world(tmp_path):
    lone = RegionMix(name="home", weight=1, countries=("NZ",), utc_offset_h=12)
    summary = simulate(SimulatorConfig(attempts=2_000, days=1, regions=(lone,)), tmp_path)
    table = pq.read_table(tmp_path / "attempts" / "day=2026-07-01" / "part.parquet")
    assert set(table["region"].to_pylist()) == {"home"}
    assert summary.attempts == table.num_rows


def test_attempt_ids_are_unique(attempts: pa.Table):
    assert len(set(attempts["attempt_id"].to_pylist())) == attempts.num_rows


@pytest.mark.parametrize("column", ENTITY_IDS)
def test_no_id_holds_a_digit_so_none_is_numeric_or_like_a_card_number(attempts, column):
    for value in attempts[column].unique().drop_null().to_pylist():
        assert re.fullmatch("[a-z]+_[a-z]{16}", value)


def test_bins_have_eight_digits(attempts: pa.Table):
    for value in attempts["instrument__bin"].unique().drop_null().to_pylist():
        assert re.fullmatch("[345][0-9]{7}", value)


def test_optional_fields_are_missing_at_times_and_required_ones_never(attempts: pa.Table):
    optional = {name for name in COLUMNS if attempts[name].null_count}
    assert {"customer__id", "device__id", "instrument__bin", "basket__items"} <= optional
    required = {"attempt_id", "received_at", "amount__value", "merchant__id", "instrument__token"}
    assert not required & optional


def test_amounts_are_whole_cents_and_only_verifications_are_free(attempts: pa.Table):
    value = attempts["amount__value"].to_numpy()
    free = np.array(attempts["transaction__kind"].to_pylist()) == "verification"
    assert (value[free] == 0).all()
    assert value[~free].min() >= 50
    assert (value == attempts["amount_ref"].to_numpy()).all()


def test_an_account_is_older_than_its_attempts(attempts: pa.Table):
    known = attempts.filter(attempts["customer__account_created_at"].is_valid())
    created = known["customer__account_created_at"].cast(pa.int64()).to_numpy()
    assert (created < known["received_at"].cast(pa.int64()).to_numpy()).all()


def test_every_merchant_is_in_the_directory_and_has_opened(attempts, merchants):
    opened = dict(
        zip(merchants["merchant_id"].to_pylist(), merchants["first_seen"].to_pylist(), strict=True)
    )
    pairs = zip(
        attempts["merchant__id"].to_pylist(), attempts["received_at"].to_pylist(), strict=True
    )
    assert all(opened[merchant] <= received for merchant, received in pairs)
    assert set(merchants["tier"].to_pylist()) == {"strategic", "established", "standard", "new"}


def test_new_cards_devices_and_customers_keep_appearing(attempts: pa.Table):
    half = attempts.num_rows // 2
    for column in ("instrument__token", "device__id", "customer__id"):
        before = set(attempts[column][:half].drop_null().to_pylist())
        after = set(attempts[column][half:].drop_null().to_pylist())
        assert len(after - before) > 0.05 * len(after)


def test_cards_are_used_in_more_than_one_region(attempts: pa.Table):
    regions = attempts.group_by("instrument__token").aggregate([("region", "count_distinct")])
    assert (regions["region_count_distinct"].to_numpy() > 1).mean() > 0.1


def test_the_manifest_says_what_was_asked_for_and_what_was_made(summary: Summary):
    manifest = json.loads((summary.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["seed"] == 11
    assert manifest["config"]["start"] == "2026-07-01"
    assert manifest["config"]["merchants"] == 120
    assert manifest["counts"]["attempts"] == summary.attempts
    assert manifest["counts"]["fraud"] == summary.fraud
    assert manifest["counts"]["outcomes"] == summary.outcomes
    assert manifest["generator_version"] == 2
    ages = manifest["counts"]["fraud_labels_by_age"]["stolen_card"]["chargeback"]
    assert ages["day_7"] < ages["day_30"] <= ages["day_60"]


def test_the_columns_that_the_manifest_says_are_missing_are_missing_as_often(
    summary: Summary, attempts: pa.Table, merchants: pa.Table
):
    manifest = json.loads((summary.folder / "manifest.json").read_text(encoding="utf-8"))
    rules = manifest["rules"]["missing"]
    tables = {"attempts": attempts.filter(attempts["customer__id"].is_valid()), "merchants": merchants}  # fmt: skip
    columns = [(of, name) for of in rules.values() for name in of["columns"]]
    assert len(columns) == 5
    for of, name in columns:
        table, column = name.split(".")
        missing = tables[table][column].null_count / tables[table].num_rows
        # Within four standard deviations of a share of as many rows.
        spread = (of["share"] * (1 - of["share"]) / tables[table].num_rows) ** 0.5
        assert abs(missing - of["share"]) < 4 * spread


def test_every_attempt_of_a_simulation_is_one_that_the_wire_takes(summary: Summary):
    history = load_history(summary.folder)
    for document in history.take(np.arange(0, len(history), 29)).documents():
        msgspec.convert(document, Attempt)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"needs a folder of its own$"):
        simulate(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_progress_rises_from_nothing_to_all(tmp_path):
    told: list[tuple[float, str]] = []
    simulate(SMALL, tmp_path, progress=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert (0.5, "2026-07-03") in told
