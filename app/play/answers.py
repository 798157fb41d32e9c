"""What a service answered to the attempts that were played, and how well: table, JSON, plot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity, FeatureSet
from app.models.artifact import Artifact
from app.models.training.history import HistoryError, ids_of
from app.models.training.inputs import inputs_of
from app.models.training.metrics import rank_metrics
from app.play.pace import Pace
from app.play.script import Script

__all__ = ["Agreement", "Answers", "Latency", "Report", "book_rows", "offline_scores", "report_of"]

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The protocol trains on a week and waits one for its labels: cards whose fraud of these two weeks
# was known at a day's midnight are not asked about again.
KNOWN_DAYS = 14
EXACT = 1e-6
CLOSE = 0.01


@dataclass(slots=True)
class Answers:
    """What came back, by row of the script's history.

    Attributes:
        score: of each row, NaN where none was given.
        rungs: how many were answered by each.
        latency_ms: of each answer.
        failed: why, and how many.
        labels: taken.
    """

    score: Float64s
    rungs: Counter[str] = field(default_factory=Counter)
    latency_ms: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    labels: int = 0

    def served(self, rows: Int64s) -> Float64s:
        """Scores to rank rows by; one without a score is ranked last."""
        return np.nan_to_num(self.score[rows], nan=0.0)

    def decided(self, row: int, *, rung: str, score: float | None, latency_ms: float) -> None:
        """Keep the answer to one attempt."""
        self.rungs[rung] += 1
        self.latency_ms.append(latency_ms)
        if score is not None:
            self.score[row] = score


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds to an answer, by share of the answers that were as fast."""

    p50: float
    p99: float
    p999: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How close the scores came to those computed from the same history offline.

    Attributes:
        rows: that were compared: all that were posted.
        exact: share within 1e-6.
        close: share within .01.
        worst: largest difference; None where a row has no score.
        average_precision: of the offline scores on the rows that are evaluated.
    """

    rows: int
    exact: float
    close: float
    worst: float | None
    average_precision: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a play came to.

    Attributes:
        rows: evaluated: attempts of cards that were not known as compromised.
        fraud: among them.
        requests: attempts posted.
        failed: of them without a decision.
        failures: why.
        labels: delivered.
        rungs: share of the answers by the rung that gave them.
        offline: the comparison.
        attempts_per_second: posted, while the period lasted.
        model: its version.
        lockstep: whether every attempt waited for what came before it.
        deadline_ms: of the service.
    """

    average_precision: float
    roc_auc: float
    card_precision_at_100: float
    recall_at_precision_20: float
    rows: int
    fraud: int
    requests: int
    failed: int
    failures: dict[str, int]
    labels: int
    rungs: dict[str, float]
    latency_ms: Latency
    offline: Agreement
    attempts_per_second: float
    model: str
    lockstep: bool
    deadline_ms: int


def book_rows(script: Script) -> Int64s:
    """The posted attempts that the protocol evaluates.

    Those of cards whose fraud was known at the day's midnight are left out, as the Fraud Detection
    Handbook does (chapter 3.2): such a card would have been blocked. Fraud of the two weeks before
    the period and of the period counts.
    """
    history, rows = script.history, script.rows
    card = ids_of(history, Entity.CARD).code
    known_ms = history.labelled_ms
    recent = history.day >= script.days.start - KNOWN_DAYS
    kept = np.zeros(len(history), dtype=bool)
    for day in script.days:
        compromised = np.unique(card[recent & (known_ms < day * DAY_MS)])
        today = rows[history.day[rows] == day]
        kept[today] = ~np.isin(card[today], compromised[compromised >= 0])
    return np.flatnonzero(kept)


def offline_scores(script: Script, features: FeatureSet, artifact: Artifact) -> Float64s:
    """The full rung's score of every posted attempt, from the history alone."""
    table = inputs_of(script.history, features, attempts=script.rows)
    facts = artifact.full.facts
    raw = artifact.full.raw(
        np.ascontiguousarray(table.numbers[:, : len(facts.numbers)]),
        np.ascontiguousarray(table.categories[:, : len(facts.categories)]),
    )
    scores = np.full(len(script.history), np.nan)
    scores[script.rows] = [facts.calibration.probability(one) for one in raw.tolist()]
    return scores


def report_of(
    script: Script, answers: Answers, offline: Float64s, *, pace: Pace, took_s: float, model: str
) -> Report:
    """Measure what came back.

    Args:
        script: that was played.
        answers: to it.
        offline: score of each row as `offline_scores` has it.
        pace: at which it was played.
        took_s: seconds that the period lasted.
        model: version of the model in force.

    Raises:
        HistoryError: there is nothing to rank by.
    """
    rows, posted = book_rows(script), script.rows
    history = script.history
    if not 0 < history.fraud[rows].sum() < len(rows):
        raise HistoryError("the attempts to evaluate are all fraud, or none of them is.")
    day, card = history.day[rows], ids_of(history, Entity.CARD).code[rows]
    fraud = history.fraud[rows]
    measured = rank_metrics(answers.served(rows), fraud, day=day, card=card)
    truth = rank_metrics(offline[rows], fraud, day=day, card=card)
    apart = np.abs(answers.score[posted] - offline[posted])
    answered = sum(answers.rungs.values())
    latency = np.quantile(answers.latency_ms or [np.nan], [0.5, 0.99, 0.999]).round(2).tolist()
    return Report(
        average_precision=measured["average_precision"],
        roc_auc=measured["roc_auc"],
        card_precision_at_100=measured["card_precision_at_100"],
        recall_at_precision_20=measured["recall_at_precision_20"],
        rows=len(rows),
        fraud=int(fraud.sum()),
        requests=len(posted),
        failed=sum(answers.failed.values()),
        failures=dict(answers.failed),
        labels=answers.labels,
        rungs={rung: count / answered for rung, count in answers.rungs.most_common()},
        latency_ms=Latency(p50=latency[0], p99=latency[1], p999=latency[2]),
        offline=Agreement(
            rows=len(posted),
            exact=float((apart <= EXACT).mean()),
            close=float((apart <= CLOSE).mean()),
            worst=None if np.isnan(apart).any() else float(apart.max()),
            average_precision=truth["average_precision"],
        ),
        attempts_per_second=round(len(posted) / took_s, 1),
        model=model,
        lockstep=pace.lockstep,
        deadline_ms=pace.deadline_ms,
    )
