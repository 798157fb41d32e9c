"""Cold start: how well models rank attempts of merchants, devices or BINs they never saw.

CatBoost as it is trained for an artifact against XGBoost and LightGBM: the same folds, the same
rows to fit on, the same inputs, the same labels as known when the test week began. The last days
of the training are kept out of all fits; the peers choose their settings on them, CatBoost has
one set of settings and does not use them.

Test weeks are ranked together, by log odds: a week alone holds few cold frauds. Intervals are
bootstrap intervals over days, and those of differences between two models draw the same days for
both.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from app.features.rings import Int64s
from app.features.spec import DAY_MS, FeatureSet
from app.models.artifact import raw_scores
from app.models.training.fitting import (
    TrainSettings,
    columns_of,
    fit_lesson,
    lesson_of,
)
from app.models.training.folds import Fold, FoldPlan, folds_of, within
from app.models.training.history import History, HistoryError
from app.models.training.inputs import Table, inputs_of
from app.models.training.metrics import RankCurve
from app.models.training.segments import cold_of
from chaos.bench.cold_start_peers import PEERS, Peers

__all__ = ["DRAWS", "Ranking", "compared", "measure_cold_start"]

Bools = npt.NDArray[np.bool_]
Float64s = npt.NDArray[np.float64]
ArrayT = TypeVar("ArrayT", npt.NDArray[np.bool_], npt.NDArray[np.float64])
Report = Callable[[float, str], None]

DRAWS = 400
CATBOOST = "catboost"
# With fewer frauds a figure says nothing; it is left out, the counts stay.
FRAUD_MIN = 5


@dataclass(slots=True)
class Ranking:
    """The test attempts of all folds, with what each model says of them.

    Attributes:
        fraud: the truth, shape (attempts,).
        day: of receipt.
        cold: masks by segment.
        scores: log odds by model.
    """

    fraud: Bools = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    day: Int64s = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    cold: dict[str, Bools] = field(default_factory=dict)
    scores: dict[str, Float64s] = field(default_factory=dict)

    def add(self, other: Ranking) -> None:
        """Put a further fold's behind."""
        self.fraud = np.concatenate([self.fraud, other.fraud])
        self.day = np.concatenate([self.day, other.day])
        self.cold = _joined(self.cold, other.cold)
        self.scores = _joined(self.scores, other.scores)


def _joined(one: Mapping[str, ArrayT], other: Mapping[str, ArrayT]) -> dict[str, ArrayT]:
    """Arrays of a name end to end, the other's behind."""
    return {
        name: np.concatenate([one[name], values]) if name in one else values
        for name, values in other.items()
    }


def measure_cold_start(
    history: History,
    features: FeatureSet,
    plan: FoldPlan,
    peers: Peers,
    *,
    calibration_days: int,
    settings: TrainSettings | None = None,
    report: Report = lambda _share, _what: None,
) -> dict[str, Any]:
    """Compare the models, fold after fold.

    Args:
        history: all attempts.
        features: what the models see.
        plan: of the folds.
        peers: where XGBoost and LightGBM are.
        calibration_days: last training days, kept out of the fits.
        settings: of CatBoost; trees, depth, seed and threads hold for all.
        report: told the share done and what is being done.

    Returns:
        `folds` with each model's settings, and `segments`, as `--json` prints them.

    Raises:
        HistoryError: the data do not span the folds, or there is no known fraud to learn from.
        OperatorError: a peer failed.
    """
    settings = settings or TrainSettings()
    folds_of(history, plan)  # what is wrong is said before anything is computed
    horizon_ms = max(
        *(features.horizon_ms(entity) for entity in features.entities),
        *(features.snapshot_horizon_ms(entity) for entity in features.batch_entities),
    )
    part = within(history, plan, horizon_ms)
    table = inputs_of(part, features, lambda done, what: report(0.2 * done, what))
    folds = folds_of(part, plan)
    ranking, facts = Ranking(), []
    chosen: dict[str, Any] = {}
    for at, fold in enumerate(folds):
        first, share = 0.2 + 0.75 * at / len(folds), 0.75 / len(folds)
        one = _Fold(part, table, fold, calibration_days=calibration_days, settings=settings)
        said = one.ranked(
            peers,
            chosen,
            lambda done, what, first=first, share=share, at=at: report(  # type: ignore[misc]
                first + share * done, f"fold {at + 1} of {len(folds)}: {what}"
            ),
        )
        ranking.add(said)
        chosen = chosen or one.chosen()
        facts.append(one.facts)
    report(0.95, "intervals")
    return {
        "protocol": str(plan.protocol),
        "train_days": plan.train_days,
        "calibration_days": calibration_days,
        "delay_days": plan.delay_days,
        "interval": "95 %, bootstrap over days",
        "folds": facts,
        "segments": compared(ranking, seed=settings.seed),
    }


class _Fold:
    """One fold: all models on the same rows."""

    def __init__(
        self,
        history: History,
        table: Table,
        fold: Fold,
        *,
        calibration_days: int,
        settings: TrainSettings,
    ) -> None:
        self._history, self._table, self._fold, self._settings = history, table, fold, settings
        self._known = history.known_fraud(fold.test_day * DAY_MS)
        day = history.day[fold.train]
        held = day > day[-1] - calibration_days
        self._fit, self._held = fold.train[~held], fold.train[held]
        for what, rows in (("fit on", self._fit), ("choose settings by", self._held)):
            if not self._known[rows].any():
                raise HistoryError(f"there is no known fraud among the attempts to {what}.")
        self.facts: dict[str, Any] = {
            "test_from": str(np.datetime64(fold.test_day, "D")),
            "fit_attempts": len(self._fit),
            "fit_known_fraud": int(self._known[self._fit].sum()),
            "test_attempts": len(fold.test),
            "test_fraud": int(history.fraud[fold.test].sum()),
        }

    def ranked(self, peers: Peers, chosen: Mapping[str, Any], report: Report) -> Ranking:
        """Fit all models and score the test week."""
        inputs, settings = self._table.features.full_inputs, self._settings
        known, test = self._known, self._fold.test
        lesson = lesson_of(
            inputs, self._table, self._fit, fraud=known[self._fit], settings=settings
        )
        started_s = time.monotonic()
        fitted = fit_lesson(inputs, lesson, settings, lambda done: report(0.3 * done, CATBOOST))
        took_s = round(time.monotonic() - started_s, 1)
        columns = columns_of(self._table, test, inputs)
        scores = {CATBOOST: raw_scores(fitted.model, *columns)}
        self.facts["models"] = {CATBOOST: {"trees": settings.iterations, "took_s": took_s}}
        with tempfile.TemporaryDirectory() as folder:
            said = peers.fit(
                Path(folder),
                lesson=lesson,
                held=(columns_of(self._table, self._held, inputs), known[self._held]),
                test=columns,
                settings={
                    "trees": settings.iterations,
                    "depth": settings.depth,
                    "seed": settings.seed,
                    "threads": settings.threads,
                    "chosen": chosen,
                },
                report=lambda done, what: report(0.3 + 0.7 * done, what),
            )
        for peer in PEERS:
            scores[peer] = said[peer].scores
            self.facts["models"][peer] = said[peer].facts
        return Ranking(
            fraud=self._history.fraud[test],
            day=self._history.day[test],
            cold=dict(cold_of(self._history, self._fold.train, test)),
            scores=scores,
        )

    def chosen(self) -> dict[str, Any]:
        """What each peer chose: the folds after keep to it, and only stop by themselves."""
        return {
            peer: {
                name: self.facts["models"][peer]["chosen"][name]
                for name in ("encoding", "rate", "least")
            }
            for peer in PEERS
        }


def compared(ranking: Ranking, *, seed: int) -> dict[str, dict[str, Any]]:
    """Figures of each segment.

    Returns:
        By segment (`all`, and the cold ones) `attempts`, `fraud` and, with enough fraud, `models`:
        average precision and recall at a precision of 20 % with intervals, and of each peer
        `catboost_ahead`, the interval of CatBoost's average precision less the peer's.
    """
    everything = {"all": np.ones(len(ranking.fraud), dtype=np.bool_)}
    return {
        name: _segment(ranking, mask, seed=seed)
        for name, mask in {**everything, **ranking.cold}.items()
    }


def _segment(ranking: Ranking, mask: Bools, *, seed: int) -> dict[str, Any]:
    fraud, day = ranking.fraud[mask], ranking.day[mask]
    said: dict[str, Any] = {"attempts": len(fraud), "fraud": int(fraud.sum())}
    if not FRAUD_MIN <= fraud.sum() < len(fraud):
        return said
    curves = {name: RankCurve(of[mask], fraud, day) for name, of in ranking.scores.items()}
    days = len(next(iter(curves.values())).days)
    picks = np.random.default_rng(seed).integers(0, days, (DRAWS, days))
    weights = [np.bincount(pick, minlength=days).astype(np.float64) for pick in picks]
    models, draws = {}, {}
    for name, curve in curves.items():
        average, _, recall, _ = curve.metrics()
        drawn = np.array([curve.metrics(one) for one in weights])
        draws[name] = drawn[:, 0]
        models[name] = {
            "average_precision": average,
            "average_precision_interval": _bounds(drawn[:, 0]),
            "recall_at_precision_20": recall,
            "recall_at_precision_20_interval": _bounds(drawn[:, 2]),
        }
    for peer in PEERS:
        models[peer]["catboost_ahead"] = _bounds(draws[CATBOOST] - draws[peer])
    return {**said, "models": models}


def _bounds(drawn: Float64s) -> list[float]:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return [float(low), float(high)]
