"""What stepping down costs: measured on one history, kept, and written into a page."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import msgspec
import pytest

from app.features.reference import REFERENCE
from app.marked_section import read_section
from app.models.training.fitting import TrainSettings
from app.models.training.folds import FoldPlan
from app.models.training.history import load_history
from app.models.training.names import Protocol
from app.models.training.price_list import (
    COMPARED,
    PriceList,
    load_price_list,
    priced_by_folds,
    priced_last_week,
)
from app.simulator.campaigns import NEW_PATTERN, PATTERNS
from app.simulator.config import SimulatorConfig
from app.simulator.generate import simulate

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "results" / "prices.json"
RUNGS = ["full", "full, one region of three away", "batch", "rules", "tier_default"]
QUICK = TrainSettings(iterations=15, learning_rate=0.2)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices") / "data"
    simulate(SimulatorConfig(seed=11, attempts=25_000, fraud_share=0.02), folder)
    return load_history(folder)


@pytest.fixture(scope="module")
def priced(history):
    return priced_last_week(history, REFERENCE, QUICK, ablate=True)


def test_every_rung_has_all_figures_with_intervals(priced):
    assert list(priced.rungs) == RUNGS
    for price in (priced.rungs | priced.ablated).values():
        assert set(price.figures) == set(COMPARED)
        for name, (low, high) in price.intervals.items():
            assert low <= price.figures[name] <= high, name


def test_a_rung_lets_less_fraud_through_than_approving_all_and_stops_good_payments(priced):
    nothing = priced.approve_all
    assert nothing["good_stopped_per_million"] == nothing["recall"] == 0
    through, stopped, recall = (
        {rung: price.figures[name] for rung, price in priced.rungs.items()}
        for name in ("fraud_let_through_per_million", "good_stopped_per_million", "recall")
    )
    for rung in RUNGS:
        assert 0 < through[rung] < nothing["fraud_let_through_per_million"], rung
        assert min(stopped[rung], recall[rung]) > 0, rung
    assert through["full"] < through["rules"]
    assert stopped["full"] < stopped["tier_default"]


def test_patterns_add_up_to_all_fraud_and_their_recall_to_that_of_the_rung(history, priced):
    assert history.fraud.any()
    for price in priced.rungs.values():
        assert set(price.patterns) <= set(PATTERNS) - {"genuine", NEW_PATTERN}
        frauds = sum(part["fraud"] for part in price.patterns.values())
        assert frauds == priced.facts["test_fraud"]
        for name in ("recall", "recall_at_precision_20"):
            caught = sum(part["fraud"] * part[name] for part in price.patterns.values())
            assert caught / frauds == pytest.approx(price.figures[name])


def test_a_full_model_without_any_streaming_input_ranks_as_the_batch_model_does(priced):
    """It differs in the masked copies alone, which then repeat some of the rows."""
    one, other = (
        of.figures["roc_auc"]
        for of in (priced.ablated["full_without_streaming"], priced.rungs["batch"])
    )
    assert one == pytest.approx(other, abs=0.03)
    assert priced.rungs["full"].figures["roc_auc"] > max(one, other)


def test_folds_are_priced_alike(history):
    plan = FoldPlan(protocol=Protocol.PREQUENTIAL, folds=1, train_days=14)
    priced = priced_by_folds(history, REFERENCE, plan, seeds=[1])
    assert list(priced.rungs) == RUNGS
    for price in priced.rungs.values():
        assert set(price.figures) == set(COMPARED)
    assert priced.approve_all["cost_per_million"] > 0


def test_kept_figures_are_shown_and_written_without_measuring(stepdown, tmp_path):
    page = tmp_path / "README.md"
    markers = "<!-- {0}: begin -->\n<!-- {0}: end -->\n"
    page.write_text(markers.format("prices") + markers.format("patterns"))
    done = stepdown("prices", "--from", str(KEPT), "--write", str(page), "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(KEPT.read_text())
    assert "`tier_default`" in read_section(page, "prices")
    assert "card testing" in read_section(page, "patterns")
    shown = stepdown("prices", "--from", str(KEPT), home=tmp_path)
    assert "approve all" in shown.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--public", "x.parquet"], "give both"),
        (["--write", "nowhere.md"], "nowhere.md cannot be read"),
        (["--from", "nowhere.json"], "nowhere.json cannot be read"),
        (["--from", str(ROOT / "pyproject.toml")], "is no price list"),
        (["--data", "nowhere"], "nowhere holds no finished simulation"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(stepdown, tmp_path, words, sentence):
    done = stepdown("prices", *words, home=tmp_path)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_price_list_is_read_as_it_was_written(priced, tmp_path):
    found = PriceList(measured_on=dt.date(2026, 1, 2), priced=[priced])
    (tmp_path / "kept.json").write_bytes(msgspec.json.encode(found))
    assert load_price_list(tmp_path / "kept.json") == found
