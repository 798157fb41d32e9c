"""Trains and measures fold after fold: means over folds and seeds, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.features.rings import Int64s
from app.features.spec import DAY_MS, FeatureSet, Inputs
from app.models.artifact import Calibration, RungFacts, RungModel, raw_scores
from app.models.training.assess import Ranked, Sample, assess, interval
from app.models.training.calibrate import calibrate
from app.models.training.evaluate import lower_rungs, sample_of, scored
from app.models.training.fitting import TrainSettings, columns_of, fit_model, models_of
from app.models.training.folds import BOOK_TABLE, Fold, FoldPlan, folds_of, within
from app.models.training.history import History
from app.models.training.inputs import Table, inputs_of
from app.models.training.names import Protocol

__all__ = ["measure_folds"]

Report = Callable[[float, str], None]

# The last training days are scored by a model that has not seen them, to calibrate on.
CALIBRATION_DAYS = 2


def measure_folds(
    history: History,
    features: FeatureSet,
    plan: FoldPlan,
    *,
    seeds: Sequence[int],
    settings: TrainSettings | None = None,
    report: Report = lambda _share, _what: None,
) -> dict[str, Any]:
    """Measure every rung by a protocol.

    Inputs are computed once, for the days that the folds and their windows need.

    Args:
        history: all attempts.
        features: what the models see.
        plan: of the folds.
        seeds: of boosting; means are over them.
        settings: how to train.
        report: told the share done and what is being done.

    Returns:
        `protocol`, `folds`, `rungs` (means; `calibration`, `cost` and `segments` of every fold
        with its first seed under `folds`), and of the book's protocol its `published` figures.

    Raises:
        HistoryError: the data do not span the folds.
    """
    folds_of(history, plan)  # what is wrong is said before anything is computed
    entities = features.entities, features.batch_entities
    horizon_ms = max(
        *(features.horizon_ms(entity) for entity in entities[0]),
        *(features.snapshot_horizon_ms(entity) for entity in entities[1]),
    )
    part = within(history, plan, horizon_ms)
    table = inputs_of(part, features, lambda done, what: report(0.2 * done, what))
    folds = folds_of(part, plan)
    results = []
    for at, fold in enumerate(folds):
        first, share = 0.2 + 0.8 * at / len(folds), 0.8 / len(folds)
        results.append(
            _Measured(part, table, fold, seeds, settings or TrainSettings()).all(
                lambda done, what, first=first, share=share, at=at: report(  # type: ignore[misc]
                    first + share * done, f"fold {at + 1} of {len(folds)}: {what}"
                )
            )
        )
    said: dict[str, Any] = {
        "protocol": str(plan.protocol),
        "train_days": plan.train_days,
        "delay_days": plan.delay_days,
        "seeds": list(seeds),
        "interval": "95 %, bootstrap over days",
        "folds": [_fold_facts(part, fold) for fold in folds],
        "rungs": {rung: _mean([of_fold[rung] for of_fold in results]) for rung in results[0]},
    }
    if plan.protocol is Protocol.BOOK:
        names = ("roc_auc", "average_precision", "card_precision_at_100")
        said["published"] = {
            model: dict(zip(names, values, strict=True)) for model, values in BOOK_TABLE.items()
        }
    return said


class _Measured:
    """One fold, measured."""

    def __init__(
        self,
        history: History,
        table: Table,
        fold: Fold,
        seeds: Sequence[int],
        settings: TrainSettings,
    ) -> None:
        self._history, self._table, self._fold = history, table, fold
        self._seeds, self._settings = seeds, settings
        self._known = history.known_fraud(fold.test_day * DAY_MS)
        self._sample: Sample = sample_of(history, table, fold.test)

    def all(self, report: Report) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """By rung what `assess` says for each seed; of rungs without a model once."""
        found: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        models = models_of(self._table.features)
        for at, (rung, inputs) in enumerate(models):
            report(0.4 * at, f"{rung} model, calibration")
            calibration = self._calibration(inputs)
            found[rung] = []
            for number, seed in enumerate(self._seeds):
                done = (number + 1) / (len(self._seeds) + 1)
                report(0.4 * (at + done), f"{rung} model, seed {seed}")
                model = self._model(inputs, self._fold.train, seed, calibration)
                ranked = scored(model, self._table, self._fold.test, self._sample.costs)
                found[rung].append(self._assessed(ranked))
        report(0.8, "rules")
        lower = lower_rungs(
            self._history,
            self._table.features,
            self._fold.test,
            lambda done: report(0.8 + 0.2 * done, "rules"),
        )
        return {**found, **{rung: [self._assessed(ranked)] for rung, ranked in lower.items()}}

    def _assessed(self, ranked: Ranked) -> tuple[dict[str, Any], Any]:
        return assess(self._sample, ranked, seed=self._fold.test_day)

    def _calibration(self, inputs: Inputs) -> Calibration:
        """Fitted on the last training days, scored by a model of the days before."""
        train, day = self._fold.train, self._history.day
        held = day[train] > day[train[-1]] - CALIBRATION_DAYS
        known = self._known[train]
        raw_odds = Calibration(slope=1.0, intercept=0.0)
        if not (0 < known[held].sum() < held.sum() and known[~held].any()):
            return raw_odds
        model = self._model(inputs, train[~held], self._seeds[0], raw_odds)
        raw = raw_scores(model.model, *columns_of(self._table, train[held], inputs))
        return calibrate(raw, known[held], day[train[held]]).calibration

    def _model(
        self, inputs: Inputs, rows: Int64s, seed: int, calibration: Calibration
    ) -> RungModel:
        fitted = fit_model(
            inputs,
            self._table,
            rows,
            fraud=self._known[rows],
            settings=replace(self._settings, seed=seed),
        )
        facts = RungFacts(
            numbers=list(inputs.numbers),
            categories=list(inputs.categories),
            calibration=calibration,
            metrics={},
            unused=fitted.unused,
        )
        return RungModel(fitted.model, facts)


def _mean(by_fold: Sequence[Sequence[tuple[dict[str, Any], Any]]]) -> dict[str, Any]:
    """Means over folds and seeds, and each fold's own figures of the first seed.

    The draws of days are the same for every seed of a fold, so seeds are averaged before the
    bounds are taken.
    """
    first = by_fold[0][0][0]
    names = [name for name, value in first.items() if isinstance(value, float)]
    means = {
        name: float(np.mean([[said[name] for said, _ in seeds] for seeds in by_fold]))
        for name in names
    }
    draws = [np.mean([of for _, of in seeds], axis=0) for seeds in by_fold]
    every = [said for seeds in by_fold for said, _ in seeds]
    calibrated = first["calibration"] is not None
    costs = [name for name in first["cost"] if name.endswith("_minor")]
    return {
        **means,
        "intervals": interval(draws),
        "calibration": {
            name: float(np.mean([said["calibration"][name] for said in every]))
            for name in ("ece", "brier")
        }
        if calibrated
        else None,
        "cost": {name: float(np.mean([said["cost"][name] for said in every])) for name in costs},
        "segments": _mean_segments(every),
        "patterns": _sum_patterns([seeds[0][0]["patterns"] for seeds in by_fold]),
        "folds": [
            {**seeds[0][0], "seeds": len(seeds), "intervals": interval([of])}
            for seeds, of in zip(by_fold, draws, strict=True)
        ],
    }


def _sum_patterns(by_fold: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Fraud and what was found of it by pattern, all folds together, of their first seeds."""
    return {
        name: {
            what: sum(patterns[name][what] for patterns in by_fold if name in patterns)
            for what in ("fraud", "found")
        }
        for name in sorted({name for patterns in by_fold for name in patterns})
    }


def _mean_segments(every: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean of each figure of a segment over the folds and seeds that have one."""
    means: dict[str, dict[str, dict[str, float]]] = {}
    for kind, masks in every[0]["segments"].items():
        means[kind] = {}
        for name in masks:
            parts = [said["segments"][kind][name] for said in every]
            means[kind][name] = {
                figure: float(np.mean(known))
                for figure in parts[0]
                if (known := [part[figure] for part in parts if part[figure] is not None])
            }
    return means


def _fold_facts(history: History, fold: Fold) -> dict[str, int | str]:
    def date(day: int) -> str:
        return str(np.datetime64(day, "D"))

    return {
        "train_from": date(fold.first_day),
        "test_from": date(fold.test_day),
        "train_attempts": len(fold.train),
        "train_fraud": int(history.fraud[fold.train].sum()),
        "test_attempts": len(fold.test),
        "test_fraud": int(history.fraud[fold.test].sum()),
    }
