"""The explainer follows real journals with a trained model, and stops and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial

import msgspec
import numpy as np
import pytest

from app.api.routes import shown
from app.api.wire import Model
from app.ids import DecisionIds
from app.models.artifact import GOLDEN, Golden, load_artifact
from app.models.explain import EVALUATOR
from app.publish import current
from app.record.decision import DecisionRecord, encode
from app.record.explainer import BATCH_RECORDS_MAX, Explainer
from app.record.explanation import (
    CHECKPOINT,
    INPUTS_MAX,
    decode_explanation,
    read_checkpoint,
    write_checkpoint,
)
from app.record.frames import Kind
from app.record.journal import JournalUnavailable, open_journal
from app.record.lookup import find_decision, find_explanation
from app.record.reasons import CATALOGUE
from app.streams.journal_tail import JournalTail
from regions.topology import load_topology

REGION_NAME = "us-east-1"
REGION = load_topology().region(REGION_NAME).number


@pytest.fixture(scope="module")
def models(trained):
    return trained / "registry" / "model"


@pytest.fixture(scope="module")
def golden(models):
    """Rows of the full model, the most suspicious first: numbers, categories, raw score."""
    path = models / "versions" / current(models) / GOLDEN
    full = msgspec.msgpack.decode(path.read_bytes(), type=dict[str, Golden])["full"]
    numbers = np.frombuffer(full.numbers, "<f4").reshape(len(full.raw), -1)
    rows = zip(numbers, full.categories, full.raw, strict=True)
    return sorted(rows, key=lambda row: -row[2])


class Scorer:
    """Writes decisions as a scorer does."""

    def __init__(self, folder, golden, version):
        self.journal = open_journal(folder, region=REGION)
        self._ids = DecisionIds(region=REGION, writer=self.journal.writer)
        self._golden = golden
        self._model = Model(name="checkout", version=version, provenance="simulated")

    def decide(self, at=0, **changes):
        numbers, categories, raw = self._golden[at % len(self._golden)]
        record = DecisionRecord(
            tenant="acme",
            decision_id=self._ids.new(),
            attempt_id=f"a{at}",
            received_ms=1,
            as_of_ms=1,
            request=b"{}",
            amount_ref=1,
            entities={},
            bits={},
            merchant={},
            action="decline",
            ranking=raw,
            rung="full",
            not_higher={},
            reasons=["MODEL_RISK"],
            model=self._model,
            versions={},
            raw_score=raw,
            numbers=numbers.tobytes(),
            categories=categories,
            deadline_ms=80,
            took_ms=1.0,
        )
        record = msgspec.structs.replace(record, **changes)
        self.journal.append(Kind.DECISION, encode(record))
        return record.decision_id


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def scorer(folder, golden, models):
    scorer = Scorer(folder, golden, current(models))
    yield scorer
    scorer.journal.close()


@pytest.fixture
def explainers(folder, models):
    """Makes explainers; one that follows another is the same after a restart."""
    made = []

    def make(**changes):
        parts = {
            "journal": partial(open_journal, folder, region=REGION),
            "artifact": partial(load_artifact, models),
            "load_checkpoint": partial(read_checkpoint, folder),
            "save_checkpoint": partial(write_checkpoint, folder),
            "now_ms": lambda: time.time_ns() // 1_000_000,
        }
        explainer = Explainer(JournalTail(folder), **(parts | changes))
        explainer.resume()
        made.append(explainer)
        return explainer

    yield make
    for explainer in made:
        explainer.close()


def written(folder):
    """Every explanation in the journals."""
    records = JournalTail(folder).read(10_000)
    return [decode_explanation(r.payload) for r in records if r.kind is Kind.EXPLANATION]


def test_a_declined_decision_is_explained_in_the_journal(folder, scorer, explainers):
    id = scorer.decide()
    explainers().step()
    explanation = find_explanation(folder, id)
    assert (explanation.decision_id, explanation.tenant, explanation.rung) == (id, "acme", "full")
    assert explanation.evaluator == EVALUATOR
    assert len(explanation.contributions) == INPUTS_MAX
    assert set(explanation.shares) <= CATALOGUE.keys()
    assert 0 < sum(explanation.shares.values()) <= 1 + 1e-9


def test_a_decision_shown_has_its_reasons_and_apart_what_a_notice_may_say(
    folder, scorer, explainers
):
    id = scorer.decide()
    explainers().step()
    record = find_decision(folder, id, region=REGION)
    document = shown(record, find_explanation(folder, id))
    reasons = document["explanation"]["reasons"]
    assert reasons[0]["text"] == CATALOGUE[reasons[0]["code"]].sentence
    told = [reason["code"] for reason in document["adverse_action"]]
    assert told == [r["code"] for r in reasons if CATALOGUE[r["code"]].disclosable]


def test_an_approval_shown_has_no_adverse_action(folder, scorer):
    id = scorer.decide(action="approve", reasons=["AMOUNT_UNUSUAL"])
    assert shown(find_decision(folder, id, region=REGION), None)["adverse_action"] == []


def test_approvals_and_the_lower_rungs_are_left_out(folder, scorer, explainers):
    scorer.decide(action="approve")
    scorer.decide(action="step_up", rung="rules", model=None, raw_score=None, numbers=b"")
    explainers().step()
    assert written(folder) == []


def test_a_share_of_the_approvals_is_explained_the_same_one_every_time(folder, scorer, explainers):
    ids = [scorer.decide(at, action="approve") for at in range(200)]
    explainers(approvals=0.3).step()
    first = [explanation.decision_id for explanation in written(folder)]
    assert set(first) < set(ids)
    assert 30 < len(first) < 95
    (folder / CHECKPOINT).unlink()
    explainers(approvals=0.3).step()
    assert {explanation.decision_id for explanation in written(folder)} == set(first)


def test_after_a_restart_each_decision_was_explained_once(folder, scorer, explainers):
    ids = [scorer.decide(at) for at in range(6)]
    before = explainers()
    before.step()
    before.close()
    ids += [scorer.decide(at) for at in range(6, 9)]
    after = explainers()
    after.step()
    assert sorted(explanation.decision_id for explanation in written(folder)) == sorted(ids)
    assert after.checkpoint.explained == len(ids)


def test_a_crash_before_the_checkpoint_explains_again_to_the_same_result(
    folder, scorer, explainers
):
    id = scorer.decide()

    def full(_checkpoint):
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        explainers(save_checkpoint=full).step()
    explainers().step()
    first, again = written(folder)
    assert first == again == find_explanation(folder, id)


def test_a_journal_that_takes_nothing_loses_no_explanation(folder, scorer, explainers):
    id = scorer.decide()

    full = [True]

    def opened():
        if full.pop():
            full.append(False)
            raise JournalUnavailable("the disk is full")
        return open_journal(folder, region=REGION)

    explainer = explainers(journal=opened)
    with pytest.raises(JournalUnavailable):
        explainer.step()
    explainer.resume()
    explainer.step()
    assert find_explanation(folder, id) is not None


@pytest.mark.parametrize(
    "case",
    [
        ({"raw_score": -99.0}, "its score is -99.0"),
        ({"numbers": b"\0" * 8}, "other inputs"),
        (
            {"model": Model(name="m", version="0" * 12, provenance="simulated")},
            "version 000000000000 cannot be read",
        ),
    ],
)
def test_a_decision_that_cannot_be_explained_holds_up_no_other(
    folder, scorer, explainers, caplog, case
):
    changes, said = case
    scorer.decide(**changes)
    id = scorer.decide(1)
    explainer = explainers()
    explainer.step()
    assert [explanation.decision_id for explanation in written(folder)] == [id]
    assert (explainer.checkpoint.explained, explainer.checkpoint.unexplained) == (1, 1)
    assert said in caplog.text


def test_a_damaged_checkpoint_begins_again(folder, scorer, explainers):
    id = scorer.decide()
    (folder / CHECKPOINT).write_bytes(b"{")
    explainers().step()
    assert find_explanation(folder, id) is not None


def test_the_lag_is_shown_until_it_is_caught_up(folder, scorer, explainers, caplog):
    for at in range(BATCH_RECORDS_MAX):
        scorer.decide(at, action="approve")
    scorer.decide()
    explainer = explainers(now_ms=lambda: time.time_ns() // 1_000_000 + 60_000)
    explainer.step()
    assert read_checkpoint(folder).lag_ms >= 60_000
    assert "behind by" in caplog.text
    explainer.step()
    assert read_checkpoint(folder).lag_ms == 0


def test_an_idle_explainer_writes_nothing(folder, scorer, explainers):
    explainers().step()
    assert not (folder / CHECKPOINT).exists()
    assert not (folder / "00001").exists()


def test_the_process_explains_and_stops_when_told(tmp_path, golden, models):
    home = tmp_path / "home"
    published = home / REGION_NAME / "published"
    published.mkdir(parents=True)
    (published / "model").symlink_to(models)
    scorer = Scorer(home / REGION_NAME / "journal", golden, current(models))
    id = scorer.decide()
    process = subprocess.Popen(
        [sys.executable, "-m", "app.record.explainer"],
        env={**os.environ, "STEPDOWN_HOME": str(home), "STEPDOWN_REGION": REGION_NAME},
    )
    try:
        give_up_s = time.monotonic() + 20
        while find_explanation(home / REGION_NAME / "journal", id) is None:
            assert time.monotonic() < give_up_s
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
    finally:
        process.kill()
        scorer.journal.close()
