"""What a play's report says of the answers: ranking, what was stopped, and of which pattern."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from app.features.spec import DAY_MS
from app.models.training.history import ID_COLUMNS, NEVER_MS, History, HistoryError
from app.play.answers import Answers, Verdicts
from app.play.pace import Pace
from app.play.report import rankable_rows, report_of
from app.play.script import script_of
from fallback.rung import Action, RungName

DAY = 20_000
PATTERNS = [None, "stolen_card", None, "stolen_card", "card_testing"]


@pytest.fixture
def script():
    """A warm-up attempt, then five: genuine, stolen, genuine, stolen, tested; a card each."""
    size = len(PATTERNS) + 1
    columns = {column: pa.nulls(size, pa.string()) for column in ID_COLUMNS.values()}
    columns["instrument__token"] = pa.array([f"card_{at}" for at in range(size)])
    columns["fraud_pattern"] = pa.array([None, *PATTERNS])
    history = History(
        attempts=pa.table(columns),
        received_ms=np.array([(DAY - 1) * DAY_MS, *(DAY * DAY_MS + at for at in range(1, size))]),
        amount_ref=np.full(size, 100),
        fraud=np.array([False, *(pattern is not None for pattern in PATTERNS)]),
        labelled_ms=np.full(size, NEVER_MS),
        merchants={},
        provenance="simulated",
    )
    return script_of(history, warm_from_day=DAY - 1, from_day=DAY, to_day=DAY)


def answered(actions, scores=None):
    answers = Answers(verdicts=Verdicts.none(len(PATTERNS) + 1))
    for row, action in enumerate(actions, 1):
        if action is not None:
            score = None if scores is None else scores[row - 1]
            answers.decided(row, rung="some", action=Action(action), score=score, latency_ms=1.0)
    return answers


def report(script, answers, offline=None, rung=RungName.RULES):
    pace = Pace(lockstep=False, rate=1.0, deadline_ms=80)
    return report_of(script, answers, offline, rung=rung, pace=pace, took_s=1.0, model=None)


ACTIONS = ["approve", "decline", "step_up", "approve", "step_up"]


def test_fraud_that_is_stepped_up_or_declined_is_caught(script):
    said = report(script, answered(ACTIONS))
    assert (said.recall, said.false_alarms) == (pytest.approx(2 / 3), 0.5)


def test_recall_is_told_by_pattern_the_most_frequent_first(script):
    patterns = report(script, answered(ACTIONS)).patterns
    assert [(name, of.fraud, of.caught, of.recall) for name, of in patterns.items()] == [
        ("stolen_card", 2, 1, 0.5),
        ("card_testing", 1, 1, 1.0),
    ]


def test_fraud_without_an_answer_is_not_caught(script):
    assert report(script, answered([*ACTIONS[:4], None])).patterns["card_testing"].caught == 0


def test_data_without_patterns_is_told_without(script):
    bare = replace(
        script,
        history=replace(
            script.history, attempts=script.history.attempts.drop_columns(["fraud_pattern"])
        ),
    )
    assert report(bare, answered(ACTIONS)).patterns == {}


def test_rungs_without_a_score_rank_by_the_action(script):
    best = report(script, answered(["approve", "decline", "approve", "decline", "step_up"]))
    assert best.roc_auc == 1.0


def test_rungs_with_a_score_rank_by_it_whatever_the_action(script):
    answers = answered(ACTIONS, [0.1, 0.5, 0.2, 0.6, 0.7])
    assert report(script, answers, rung=RungName.BATCH).roc_auc == 1.0


def test_other_actions_than_offline_are_seen(script):
    offline = answered(["approve", "decline", "approve", "approve", "decline"]).verdicts
    agreed = report(script, answered(ACTIONS), offline).offline
    assert (agreed.rows, agreed.exact, agreed.worst) == (5, 0.6, 1.0)
    assert agreed.recall == pytest.approx(2 / 3)


def test_a_missing_answer_is_no_agreement(script):
    offline = answered(ACTIONS).verdicts
    agreed = report(script, answered([*ACTIONS[:4], None]), offline).offline
    assert (agreed.exact, agreed.worst) == (0.8, None)


def test_a_period_without_fraud_cannot_be_measured(script):
    genuine = replace(script.history, fraud=np.zeros(len(script.history), dtype=bool))
    with pytest.raises(HistoryError, match="none of them"):
        rankable_rows(replace(script, history=genuine))
