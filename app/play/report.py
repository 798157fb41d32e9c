"""What a play came to: how well the answers rank and stop fraud, and how close they are offline."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s
from app.features.spec import DAY_MS, Entity
from app.models.training.history import History, HistoryError, ids_of
from app.models.training.metrics import rank_metrics
from app.models.training.segments import patterns_of
from app.play.answers import Answers, Verdicts
from app.play.pace import Pace
from app.play.script import Script
from fallback.rung import RungName

__all__ = ["Agreement", "Caught", "Latency", "Report", "book_rows", "rankable_rows", "report_of"]

Bools = npt.NDArray[np.bool_]

# The protocol trains on a week and waits one for its labels: cards whose fraud of these two weeks
# was known at a day's midnight are not asked about again.
KNOWN_DAYS = 14
EXACT = 1e-6
CLOSE = 0.01


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds to an answer, by share of the answers that were as fast."""

    p50: float
    p99: float
    p999: float


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """Fraud of one pattern.

    Attributes:
        fraud: attempts.
        caught: of them not approved.
        recall: the share.
    """

    fraud: int
    caught: int
    recall: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How close the answers came to those computed from the same history offline.

    Scores are compared; the actions where the rung has no score, by their number (0 approve,
    1 step up, 2 decline).

    Attributes:
        rows: that were compared: all that were posted.
        exact: share within 1e-6.
        close: share within .01.
        worst: largest difference; None where an answer is missing, or its score.
        average_precision: offline, on the rows that are evaluated.
        recall: the same.
    """

    rows: int
    exact: float
    close: float
    worst: float | None
    average_precision: float
    recall: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a play came to.

    Attempts are ranked by the score; where the rung that was played has none, by the action.

    Attributes:
        rung: the highest that could answer; None of a service that was running.
        recall: share of the fraudulent attempts that were not approved.
        false_alarms: share of the genuine ones.
        patterns: recall by pattern of fraud, where the data names them.
        rows: evaluated: attempts of cards that were not known as compromised.
        fraud: among them.
        requests: attempts posted.
        failed: requests that were not answered, or not taken.
        failures: why.
        labels: delivered.
        outcomes: delivered.
        rungs: share of the answers by the rung that gave them.
        offline: the comparison, where there was one.
        attempts_per_second: posted, while the period lasted.
        model: its version, if one decided.
        lockstep: whether every attempt waited for what came before it.
        deadline_ms: of the service; None where it was running.
    """

    rung: RungName | None
    average_precision: float
    roc_auc: float
    card_precision_at_100: float
    recall_at_precision_20: float
    recall: float
    false_alarms: float
    patterns: dict[str, Caught]
    rows: int
    fraud: int
    requests: int
    failed: int
    failures: dict[str, int]
    labels: int
    outcomes: int
    rungs: dict[str, float]
    latency_ms: Latency
    offline: Agreement | None
    attempts_per_second: float
    model: str | None
    lockstep: bool
    deadline_ms: int | None


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


def rankable_rows(script: Script) -> Int64s:
    """The same; worth asking before a play that could not be measured.

    Raises:
        HistoryError: they are all fraud, or none of them is.
    """
    rows = book_rows(script)
    if not 0 < script.history.fraud[rows].sum() < len(rows):
        raise HistoryError("the attempts to evaluate are all fraud, or none of them is.")
    return rows


def report_of(
    script: Script,
    answers: Answers,
    offline: Verdicts | None,
    *,
    rung: RungName | None,
    pace: Pace,
    took_s: float,
    model: str | None,
) -> Report:
    """Measure what came back.

    Args:
        script: that was played.
        answers: to it.
        offline: what `offline_verdicts` says of the same attempts, to compare with.
        rung: the highest that could answer; None where that was not ours to choose.
        pace: at which it was played.
        took_s: seconds that the period lasted.
        model: version of the model in force.

    Raises:
        HistoryError: there is nothing to rank by.
    """
    rows, history = rankable_rows(script), script.history
    fraud = history.fraud[rows]
    by = rung or RungName.FULL
    measured = _ranked(script, answers.verdicts, rows, by)
    stopped = answers.verdicts.stopped[rows]
    answered = sum(answers.rungs.values())
    latency = np.quantile(answers.latency_ms or [np.nan], [0.5, 0.99, 0.999]).round(2).tolist()
    return Report(
        rung=rung,
        average_precision=measured["average_precision"],
        roc_auc=measured["roc_auc"],
        card_precision_at_100=measured["card_precision_at_100"],
        recall_at_precision_20=measured["recall_at_precision_20"],
        recall=float(stopped[fraud].mean()),
        false_alarms=float(stopped[~fraud].mean()),
        patterns=_by_pattern(history, rows, stopped),
        rows=len(rows),
        fraud=int(fraud.sum()),
        requests=len(script.rows),
        failed=sum(answers.failed.values()),
        failures=dict(answers.failed),
        labels=answers.labels,
        outcomes=answers.outcomes,
        rungs={rung: count / answered for rung, count in answers.rungs.most_common()},
        latency_ms=Latency(p50=latency[0], p99=latency[1], p999=latency[2]),
        offline=None
        if offline is None
        else _agreement(script, answers.verdicts, offline, rows, by),
        attempts_per_second=round(len(script.rows) / took_s, 1),
        model=model,
        lockstep=pace.lockstep,
        deadline_ms=pace.deadline_ms,
    )


def _ranked(script: Script, verdicts: Verdicts, rows: Int64s, by: RungName) -> dict[str, float]:
    history = script.history
    card = ids_of(history, Entity.CARD).code[rows]
    ranking = verdicts.ranking(by)[rows]
    return dict(rank_metrics(ranking, history.fraud[rows], day=history.day[rows], card=card))


def _agreement(
    script: Script, served: Verdicts, offline: Verdicts, rows: Int64s, by: RungName
) -> Agreement:
    posted = script.rows
    apart = np.abs(served.told(by)[posted] - offline.told(by)[posted])
    stopped = offline.stopped[rows]
    return Agreement(
        rows=len(posted),
        exact=float((apart <= EXACT).mean()),
        close=float((apart <= CLOSE).mean()),
        worst=None if np.isnan(apart).any() else float(apart.max()),
        average_precision=_ranked(script, offline, rows, by)["average_precision"],
        recall=float(stopped[script.history.fraud[rows]].mean()),
    )


def _by_pattern(history: History, rows: Int64s, stopped: Bools) -> dict[str, Caught]:
    """Recall by pattern of fraud, the most frequent first; empty where the data names none."""
    of = patterns_of(history)[rows]
    named = [name for name in of[history.fraud[rows]] if name is not None]
    found, counts = np.unique(np.array(named, dtype=str), return_counts=True)
    of[~history.fraud[rows]] = None
    return {
        name: Caught(
            fraud=count,
            caught=int(stopped[of == name].sum()),
            recall=float(stopped[of == name].mean()),
        )
        for count, name in sorted(zip(counts.tolist(), found.tolist(), strict=True), reverse=True)
    }
