"""A history played to a running region: its scores are those of training, on the rung asked for."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest

from app.features.spec import DAY_MS, Entity
from app.models.training.history import ids_of, load_history
from app.models.training.mapping import WIRE_FIELDS, column_of

CARDS_ONE_IN = 20
LABEL_DELAY_DAYS = 5
WARM_DAYS, PLAYED_DAYS = 45, 1


@pytest.fixture(scope="module")
def thinned(trained, tmp_path_factory):
    """One card in twenty of the simulated history, with all its fraud: data, mapping, last day."""
    whole = load_history(trained / "data")
    card = ids_of(whole, Entity.CARD).code
    own = whole.take(np.flatnonzero((card % CARDS_ONE_IN == 0) | whole.fraud))
    table = own.attempts.drop_columns(["region", "fraud_pattern", "amount_ref"])
    folder = tmp_path_factory.mktemp("thinned")
    pq.write_table(table, folder / "attempts.parquet")
    fields = [field for field in WIRE_FIELDS if column_of(field) in table.column_names]
    (folder / "mapping.yaml").write_text(
        "time: received_at\n"
        "amount: {column: amount__value, currency: {column: amount__currency}, unit: minor}\n"
        f"label: {{column: fraud, delay_days: {LABEL_DELAY_DAYS}}}\n"
        "provenance: simulated\n" + "".join(f"{field}: {column_of(field)}\n" for field in fields)
    )
    last = datetime.fromtimestamp(own.day[-1] * DAY_MS / 1_000, UTC).date()
    posted = int((own.day > own.day[-1] - PLAYED_DAYS).sum())
    return folder, last, posted


@pytest.fixture(scope="module")
def simulated(trained, tmp_path_factory):
    """One card in sixty of the same as a simulation of its own, with all the fraud: data, day."""
    whole = load_history(trained / "data")
    card = ids_of(whole, Entity.CARD).code
    own = whole.take(np.flatnonzero((card % 60 == 0) | whole.fraud))
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "attempts").mkdir()
    pq.write_table(own.attempts, folder / "attempts" / "all.parquet")
    for name in ("outcomes.parquet", "labels.parquet", "merchants.parquet", "manifest.json"):
        shutil.copy(trained / "data" / name, folder)
    return folder, datetime.fromtimestamp(own.day[-1] * DAY_MS / 1_000, UTC).date()


def played(stepdown, thinned, trained, port_base, *words):
    folder, last, _ = thinned
    first = last - timedelta(days=PLAYED_DAYS - 1)
    return stepdown(
        "play", "--json",
        "--data", str(folder / "attempts.parquet"),
        "--mapping", str(folder / "mapping.yaml"),
        "--warm-from", str(first - timedelta(days=WARM_DAYS)),
        "--from", str(first),
        "--to", str(last),
        *words,
        home=trained,
        port_base=port_base,
    )  # fmt: skip


def test_in_lockstep_every_score_is_the_one_of_training(
    stepdown, thinned, trained, port_base, tmp_path
):
    plot = tmp_path / "play.svg"
    done = played(stepdown, thinned, trained, port_base, "--lockstep", "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["requests"] == report["offline"]["rows"] == thinned[2]
    assert (report["failed"], report["rungs"]) == (0, {"full": 1.0})
    assert report["labels"] > 0
    assert report["offline"]["exact"] == 1.0
    assert report["offline"]["worst"] <= 1e-6
    assert report["average_precision"] == pytest.approx(report["offline"]["average_precision"])
    assert plot.read_text().count("<polyline") == 2


def test_a_day_that_the_data_does_not_have_is_said_in_one_sentence(
    stepdown, thinned, trained, port_base
):
    folder, last, posted = thinned
    later = last + timedelta(days=1)
    done = played(stepdown, (folder, later, posted), trained, port_base)
    assert done.returncode == 2
    assert "the data spans" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_a_home_without_a_model_is_said_in_one_sentence(stepdown, thinned, port_base, tmp_path):
    done = played(stepdown, thinned, tmp_path, port_base)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_simulated_history_is_answered_by_the_rung_that_was_asked_for(
    stepdown, simulated, trained, port_base
):
    folder, day = simulated
    done = stepdown(
        "play", "--json", "--rung", "batch", "--rate", "100", "--deadline-ms", "1000",
        "--data", str(folder),
        "--warm-from", str(day - timedelta(days=WARM_DAYS)),
        "--from", str(day),
        "--to", str(day),
        home=trained,
        port_base=port_base,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rung"], report["rungs"], report["failed"]) == ("batch", {"batch": 1.0}, 0)
    assert report["outcomes"] > report["requests"]
    assert report["labels"] > 0
    assert report["offline"]["worst"] <= 1e-6
    assert report["recall"] == pytest.approx(report["offline"]["recall"])
    patterns = report["patterns"]
    assert sum(of["fraud"] for of in patterns.values()) == report["fraud"]
    assert sum(of["caught"] for of in patterns.values()) == round(
        report["recall"] * report["fraud"]
    )


def posted_to(service, stepdown, simulated, home):
    folder, day = simulated
    return stepdown(
        "play", "--json", "--api", service.api,
        "--key-file", str(service.home / "dev-key"),
        "--data", str(folder), "--from", str(day), "--to", str(day),
        home=home,
    )  # fmt: skip


def test_a_service_that_is_in_replay_mode_can_be_played_to(
    stepdown, simulated, services, tmp_path, monkeypatch
):
    monkeypatch.setenv("STEPDOWN_REPLAY", "1")
    with services() as replay:
        done = posted_to(replay, stepdown, simulated, tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["rung"], report["offline"], report["failed"]) == (None, None, 0)
    assert report["outcomes"] > 0
    assert sum(report["rungs"].values()) == pytest.approx(1.0)
    assert report["model"]


def test_a_live_service_is_never_played_to(stepdown, simulated, service, tmp_path):
    done = posted_to(service, stepdown, simulated, tmp_path)
    assert done.returncode == 2
    assert "does not run in replay mode" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
