"""Training as a whole, on a small history: the same twice, measured, and written down."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from app.features.reference import REFERENCE
from app.features.spec import InputState
from app.manifest import Manifest
from app.models.artifact import RegionFacts, load_artifact
from app.models.training.fitting import fit_model
from app.models.training.folds import FoldPlan
from app.models.training.history import NEVER_MS, load_history
from app.models.training.inputs import inputs_of
from app.models.training.metrics import METRICS
from app.models.training.names import Protocol
from app.models.training.prequential import measure_folds
from app.models.training.regions import RegionsAway
from app.models.training.train import TrainSettings, attempts_needed, train
from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate

AWAY = "full, one region of three away"
WITHOUT_COPIES = "full without masked copies"
OF_THE_FULL_RUNG = ["full", AWAY, f"{AWAY}, the worst"]
LOWER = ["batch", "rules", "tier_default"]
OF_A_FOLD = [
    *OF_THE_FULL_RUNG,
    WITHOUT_COPIES,
    f"{WITHOUT_COPIES}, one region away",
    f"{WITHOUT_COPIES}, one region away, the worst",
    *LOWER,
]
QUICK = TrainSettings(iterations=15, learning_rate=0.2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "data"
    simulate(SimulatorConfig(seed=11, attempts=25_000), folder)
    return folder


@pytest.fixture(scope="module")
def history(data):
    """Two months without devices, as somebody's own data may be."""
    made = load_history(data)
    gone = made.attempts.column_names.index("device__id")
    nulls = pa.nulls(len(made), pa.string())
    return replace(made, attempts=made.attempts.set_column(gone, "device__id", nulls))


@pytest.fixture(scope="module")
def table(history):
    return inputs_of(history, REFERENCE)


@pytest.fixture(scope="module")
def trainings(history, table, tmp_path_factory):
    """The same training twice, in two folders."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    return [(folder, *train(history, table, folder, QUICK)) for folder in folders]


def manifest_of(folder, artifact):
    path = folder / "versions" / artifact.version / "manifest.json"
    return msgspec.json.decode(path.read_bytes(), type=Manifest)


def test_training_twice_gives_the_same_identity(trainings):
    one, two = (manifest_of(folder, artifact) for folder, artifact, _ in trainings)
    assert one.facts["identity"] == two.facts["identity"]
    for name in ("artifact.json", "golden.msgpack", "report.html", "model-card.md"):
        assert one.files[name] == two.files[name], name


def test_another_seed_gives_another_identity(history, table, trainings, tmp_path):
    artifact, _ = train(history, table, tmp_path, replace(QUICK, seed=8))
    folder, first, _ = trainings[0]
    other = manifest_of(tmp_path, artifact).facts["identity"]
    assert other != manifest_of(folder, first).facts["identity"]


def test_another_label_gives_another_identity(history, table, trainings, tmp_path):
    labelled_ms = history.labelled_ms.copy()
    labelled_ms[np.flatnonzero(labelled_ms < NEVER_MS)[-1]] = NEVER_MS
    artifact, _ = train(replace(history, labelled_ms=labelled_ms), table, tmp_path, QUICK)
    folder, first, _ = trainings[0]
    other = manifest_of(tmp_path, artifact).facts["identity"]
    assert other != manifest_of(folder, first).facts["identity"]


def test_inputs_of_some_attempts_are_those_they_have_among_all(history, table):
    attempts = np.flatnonzero(np.arange(len(history)) % 7 == 3)
    some, among_all = inputs_of(history, REFERENCE, attempts=attempts), table.take(attempts)
    np.testing.assert_array_equal(some.numbers, among_all.numbers)
    assert (some.categories == among_all.categories).all()


def test_attempts_without_inputs_are_refused(history, table):
    some = replace(table.take(np.array([3, 8])), attempts=np.array([3, 8]))
    assert some.rows(np.array([8, 3])).tolist() == [1, 0]
    for missing in (4, 9, len(history)):
        with pytest.raises(ValueError, match="does not hold"):
            some.rows(np.array([3, missing]))


def test_training_needs_no_other_inputs_than_it_says(history, table, tmp_path):
    settings = replace(QUICK, genuine_rows_max=3_000)
    needed = attempts_needed(history, settings)
    assert len(needed) < len(history) / 2
    some = inputs_of(history, REFERENCE, attempts=needed)
    identities = []
    for name, inputs in (("all", table), ("some", some)):
        artifact, _ = train(history, inputs, tmp_path / name, settings)
        identities.append(manifest_of(tmp_path / name, artifact).facts["identity"])
    assert identities[0] == identities[1]


def test_inputs_that_the_data_do_not_hold_change_no_score(table, trainings):
    folder, artifact, _ = trainings[0]
    model = load_artifact(folder, artifact.version).full
    assert {"device_attempted_1h", "device_counters_state"} <= set(model.facts.unused)
    assert not {"amount_ref", "merchant_counters_state"} & set(model.facts.unused)
    rows = table.take(np.arange(2_000))
    before = model.raw(rows.numbers, rows.categories)
    rows.numbers[:, REFERENCE.numbers.index("device_attempted_1h")] = 50
    state = REFERENCE.categories.index("device_counters_state")
    rows.categories[:, state] = InputState.PRESENT.value
    assert (model.raw(rows.numbers, rows.categories) == before).all()


def test_the_artifact_keeps_the_figures_of_its_models(trainings):
    _, artifact, rungs = trainings[0]
    for rung in ("full", "batch"):
        assert artifact.facts.rungs[rung].metrics == {name: rungs[rung][name] for name in METRICS}


def test_the_artifact_says_what_a_region_is_worth_and_masks_by_it(trainings):
    folder, artifact, rungs = trainings[0]
    assert list(rungs) == [*OF_THE_FULL_RUNG, *LOWER]
    mean, worst, batch = (
        rungs[rung]["average_precision"] for rung in (AWAY, f"{AWAY}, the worst", "batch")
    )
    assert artifact.facts.regions == RegionFacts(
        regions=3, drawn=False, mean=mean, worst=worst, batch=batch
    )
    assert worst <= mean
    assert ("regions" in artifact.facts.masked) == (worst >= batch)
    version = folder / "versions" / artifact.version
    for name in ("model-card.md", "report.html"):
        assert (
            f"{mean:.3f} (mean), {worst:.3f} (worst); of batch: {batch:.3f}"
            in (version / name).read_text()
        )


def test_a_model_learns_from_copies_with_a_region_away_and_without_them_ignores_the_share(
    history, table
):
    rows = np.flatnonzero(history.day < history.day[-1] - 14)
    fraud = history.fraud[rows]
    fits = [
        fit_model(REFERENCE.full_inputs, table, rows, fraud=fraud, settings=QUICK, away=copies)
        for copies in (RegionsAway(history, REFERENCE), None)
    ]
    assert ["regions_present" in fitted.unused for fitted in fits] == [False, True]
    # Counters of what is left out of the data are no more held by the copies.
    assert set(fits[1].unused) - set(fits[0].unused) == {"regions_present"}


def test_a_history_of_one_region_is_trained_on_with_regions_drawn(history, tmp_path):
    at = history.attempts.column_names.index("region")
    one = replace(history, attempts=history.attempts.remove_column(at))
    artifact, rungs = train(one, inputs_of(one, REFERENCE), tmp_path, QUICK)
    assert artifact.facts.regions.drawn
    assert artifact.facts.regions.regions == 3
    assert rungs[AWAY]["average_precision"] == artifact.facts.regions.mean


def test_the_report_is_one_well_formed_page_that_needs_nothing_else(trainings):
    folder, artifact, _ = trainings[0]
    page = (folder / "versions" / artifact.version / "report.html").read_text()
    root = ET.fromstring(page.removeprefix("<!DOCTYPE html>"))
    captions = [one.text for one in root.iter("figcaption")]
    assert captions[0] == "Precision and recall"
    assert {"Reliability, full", "Scores, batch", "Importance, full, percent"} <= set(captions)
    assert not re.search(r"<script|<link|<img|url\(", page)


def test_the_model_card_says_data_split_figures_and_limits(trainings):
    folder, artifact, rungs = trainings[0]
    card = (folder / "versions" / artifact.version / "model-card.md").read_text()
    assert f"{rungs['full']['average_precision']:.3f}" in card
    for part in (
        "fitted on",
        "gap of 7 days",
        "tested on",
        "Provenance of the data: **simulated**",
    ):
        assert part in card
    assert "device_attempted_1h" in card.partition("## Limits")[2]


def test_folds_give_every_rung_its_figures_with_intervals(history):
    plan = FoldPlan(protocol=Protocol.PREQUENTIAL, folds=1, train_days=14)
    said = measure_folds(history, REFERENCE, plan, seeds=[1, 2], settings=QUICK)
    assert list(said["rungs"]) == OF_A_FOLD
    for of in said["rungs"].values():
        for name in METRICS:
            low, high = of["intervals"][name]
            assert 0 <= low <= high <= 1
        assert of["cost"]["mean_minor"] > 0
    patterns = said["rungs"]["full"]["segments"]["pattern"]
    assert patterns["friendly_fraud"]["fraud"] > 0
    assert sum(of["fraud"] for of in patterns.values()) == said["folds"][0]["test_fraud"]
    assert said["rungs"]["full"]["calibration"]["ece"] < 0.05
    full, chance = (said["rungs"][rung]["average_precision"] for rung in ("full", "tier_default"))
    assert full > chance
    json.dumps(said, allow_nan=False)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--protocol", "book"], "4 book folds with 7 training days need 2018-07-25"),
        (["--protocol", "prequential", "--seeds", "one"], "seeds are whole numbers"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(data, stepdown, tmp_path, words, sentence):
    done = stepdown("evaluate", "--data", str(data), *words, home=tmp_path)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
