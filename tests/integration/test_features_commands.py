"""What the commands of the feature layer say: of windows, of the set, of one entity."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from app.errors import OperatorError
from app.features.applier import APPLIED_KEY, Applier
from app.features.commands import FeatureSetName, app
from app.features.explained import entity_of, explain
from app.features.packed import key
from app.features.reference import REFERENCE
from app.features.reference_page import reference_page
from app.features.sets import FEATURE_SETS
from app.features.snapshot import publish_snapshot
from app.features.spec import HOUR_MS, Entity
from app.features.window_error import velocity, window_errors
from app.models.training.mapped import read_history
from app.record.effect import Effect, encode_effect
from app.record.frames import Kind
from app.record.journal import open_journal
from app.settings import ScorerSettings
from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate
from app.streams.connection import connect
from app.streams.journal_tail import JournalTail
from app.training_commands import FeatureSetName as OfTheScorer

ROOT = Path(__file__).parents[2]
CARD = "tok_explained"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    data = tmp_path_factory.mktemp("simulated")
    simulate(SimulatorConfig(attempts=3_000, days=40), data)
    return data


def test_a_burst_within_the_hour_always_fires_and_one_before_it_never():
    ring, two_hours, one_hour = velocity(seed=1)
    assert (ring.within, ring.before) == (1.0, 0.0)
    assert two_hours.before > 0.5  # two whole hours see what is long past
    assert one_hour.within < 0.95  # two halves miss what is not


def test_errors_of_windows_follow_from_the_seed_and_are_bounded(simulated):
    history = read_history(simulated)
    errors = list(window_errors(history, seed=1))
    assert errors == list(window_errors(history, seed=1))
    assert {one.entity for one in errors} == {"card", "merchant"}
    for one in errors:
        assert 0 < one.exact <= 1
        assert one.absolute.p50 <= one.absolute.p90 <= one.absolute.p99 <= one.absolute.max
    assert max(one.absolute.max for one in errors) > 0


def test_the_commands_print_one_json_object(simulated, tmp_path):
    done = CliRunner().invoke(app, ["features", "windows", "--data", str(simulated), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert {len(said["windows"]), len(said["velocity"])} == {12, 3}
    words = ["features", "parity", "--events", "100", "--shards", "1", "--data", str(simulated)]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["mismatches"] == 0
    assert json.loads(done.stdout)["events"] == 100


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["parity", "--served", "--data", "x"], "--served takes what is in HOME"),
        (["parity", "--mapping", "x"], "give both"),
        (["parity", "--served", "--home", "nowhere"], "no decision of the full rung"),
        (["explain", "wallet", "w_1"], "nothing is counted of 'wallet'"),
    ],
)
def test_a_mistake_is_one_sentence(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["features", *words])
    assert isinstance(done.exception, OperatorError)
    assert sentence in str(done.exception)


def test_the_names_of_feature_sets_are_those_of_the_release():
    assert {name.value for name in FeatureSetName} == set(FEATURE_SETS)
    assert {name.value for name in OfTheScorer} == set(FEATURE_SETS)


def test_the_committed_reference_page_is_that_of_the_code():
    page = (ROOT / "app" / "features" / "README.md").read_text(encoding="utf-8")
    assert page == reference_page(REFERENCE), (
        "run: stepdown features docs --out app/features/README.md"
    )


@pytest.mark.parametrize("features", FEATURE_SETS.values(), ids=list(FEATURE_SETS))
def test_the_reference_page_names_every_input_and_counter(features):
    page = reference_page(features)
    for name in (*features.numbers, *features.categories):
        assert f"`{name}`" in page
    for counter in (*features.counters, *features.snapshot_counters):
        assert f"| `{counter.name}` | {counter.entity} |" in page


@pytest.fixture
def settings(tmp_path, valkey):
    """A region with one card that was tried three times; one attempt was superseded."""
    now_ms = time.time_ns() // 1_000_000
    settings = ScorerSettings(
        home=tmp_path, sources=f"us-east-1=127.0.0.1:{valkey.port},eu-west-1=127.0.0.1:1"
    )
    journal = open_journal(settings.journal, region=0)
    for at, (what, age_ms) in enumerate(
        [
            ("attempted", 1_000),
            ("attempted", 2_000),
            ("attempted", 2 * HOUR_MS),
            ("superseded", 500),
        ]
    ):
        effect = Effect(
            tenant="demo",
            of=f"0/0/1/{at}",
            what=what,
            at_ms=now_ms - age_ms,
            received_ms=now_ms,
            decision_id="dec",
            attempt_id=f"att_{at}",
            attempted_ms=now_ms - age_ms,
            amount_ref=300,
            entities={"card": CARD, "device": "dev_1"},
            bits={"device": 8},
        )
        journal.append(Kind.EFFECT, encode_effect(effect))
    journal.close()
    applier = Applier(
        lambda: connect(valkey.shard, None),
        JournalTail(settings.journal),
        features=REFERENCE,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    applier.connect()
    applier.step()
    applier.close()
    return settings


def test_an_entity_is_explained_by_region_and_merged(settings):
    said = explain(settings, Entity.CARD, CARD, tenant="demo")
    own, away = said.regions
    assert (said.key, said.state) == (key("demo", Entity.CARD, CARD), "present")
    assert (own.problem, own.schema, own.saturated) == ("", REFERENCE.schema, False)
    assert own.bytes > 0
    assert own.positions == {"0/0": (1, 4)}
    assert own.counters["card_attempted_1h"] == 1.0
    assert own.counters["card_attempted_24h"] == 2.0
    assert own.counters["card_devices_24h"] == 1.0
    assert sum(one.counted for one in own.buckets["card_attempted_24h"]) == 3
    assert sum(one.withdrawn for one in own.buckets["card_attempted_1h"]) == 1
    assert said.features["card_amount_mean_30d"] == 300.0
    assert "amount_to_card_mean" not in said.features
    assert "does not answer" in away.problem
    assert said.snapshot is not None
    assert "nothing is published" in said.snapshot.problem


def test_an_entity_that_was_never_seen_has_no_value(settings):
    said = explain(settings, Entity.CARD, "tok_other", tenant="demo")
    assert (said.state, said.regions[0].bytes) == ("never_seen", 0)
    assert said.features["card_attempted_1h"] == 0.0
    assert said.features["card_amount_mean_30d"] is None


def test_what_the_snapshot_has_is_explained_too(settings):
    columns = REFERENCE.snapshot_columns
    row = np.arange(1.0, 1.0 + len(columns[Entity.CARD]))
    publish_snapshot(
        settings.published / "snapshot",
        tenant="demo",
        schema=REFERENCE.schema,
        columns=columns,
        batches=[(Entity.CARD, [CARD], row[None, :])],
        as_of_ms=86_400_000,
    )
    row_said = explain(settings, Entity.CARD, CARD, tenant="demo").snapshot
    assert row_said is not None
    assert (row_said.state, row_said.as_of_ms) == ("present", 86_400_000)
    assert row_said.counters == dict(zip(columns[Entity.CARD], row.tolist(), strict=True))
    assert row_said.features["card_attempted_30d_eod"] == row_said.counters["card_attempted_30d"]


def test_a_value_that_cannot_be_read_says_so(settings, valkey):
    valkey.client.set(key("demo", Entity.CARD, CARD), b"no such thing")
    with pytest.raises(OperatorError, match="a packed value has 13 bytes"):
        explain(settings, Entity.CARD, CARD, tenant="demo")


def test_a_store_that_is_cold_says_so(settings, valkey):
    valkey.client.delete(APPLIED_KEY)
    with pytest.raises(OperatorError, match=r"us-east-1: the store is cold.*eu-west-1:"):
        explain(settings, Entity.CARD, CARD, tenant="demo")


def test_the_command_shows_what_it_found(settings, monkeypatch):
    monkeypatch.setenv("STEPDOWN_SOURCES", settings.sources)
    words = ["features", "explain", "card", CARD, "--home", str(settings.home)]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    for part in (CARD, "present", "eu-west-1", "card_attempted_24h", "applied: 0/0 at 1/4"):
        assert part in shown.output
    said = msgspec.json.decode(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert said["features"]["card_amount_mean_30d"] == 300.0


def test_an_entity_that_nothing_is_counted_of_is_refused():
    with pytest.raises(OperatorError, match="choose one of card, merchant"):
        entity_of("terminal", REFERENCE)
