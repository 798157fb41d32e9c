"""Trains and measures fold after fold: means over folds and seeds, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from app.features.rings import Int64s
from app.features.spec import DAY_MS, FeatureSet, Inputs
from app.models.artifact import Calibration, RungFacts, RungModel, raw_scores
from app.models.training.assess import Ranked, Sample, assess, interval
from app.models.training.calibrate import calibrate
from app.models.training.evaluate import (
    lower_rungs,
    one_away,
    precision_of,
    sample_of,
    scored,
)
from app.models.training.fitting import TrainSettings, columns_of, fit_model, models_of
from app.models.training.folds import BOOK_TABLE, Fold, FoldPlan, folds_of, within
from app.models.training.history import History
from app.models.training.inputs import Table, inputs_of
from app.models.training.means import Assessed, mean_of
from app.models.training.names import Protocol
from app.models.training.regions import RegionsAway

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
    folds, away = folds_of(part, plan), RegionsAway(part, features)
    results = []
    for at, fold in enumerate(folds):
        first, share = 0.2 + 0.8 * at / len(folds), 0.8 / len(folds)
        results.append(
            _Measured(
                part, table, fold, seeds=seeds, settings=settings or TrainSettings(), away=away
            ).all(
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
        "rungs": {rung: _over_folds([of_fold[rung] for of_fold in results]) for rung in results[0]},
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
        *,
        seeds: Sequence[int],
        settings: TrainSettings,
        away: RegionsAway,
    ) -> None:
        self._history, self._table, self._fold = history, table, fold
        self._seeds, self._settings = seeds, settings
        self._known = history.known_fraud(fold.test_day * DAY_MS)
        self._sample: Sample = sample_of(history, table, fold.test)
        self._away = away
        self._lacking = away.each(table, fold.test)

    def all(self, report: Report) -> dict[str, list[Assessed]]:
        """By rung what `assess` says for each seed; of rungs without a model once."""
        full, batch = models_of(self._table.features)
        found = {
            **self._full(full[1], lambda done, what: report(0.6 * done, what)),
            **self._batch(batch[1], lambda done, what: report(0.6 + 0.2 * done, what)),
        }
        report(0.8, "rules")
        lower = lower_rungs(
            self._history,
            self._table.features,
            self._fold.test,
            lambda done: report(0.8 + 0.2 * done, "rules"),
        )
        return {**found, **{rung: [self._assessed(ranked)] for rung, ranked in lower.items()}}

    def _full(self, inputs: Inputs, report: Report) -> dict[str, list[Assessed]]:
        """The full model, and one without the copies, with every region and with one away."""
        regions = self._away.received.regions
        names = "full", "full without masked copies"
        found: dict[str, list[Assessed]] = {}
        for part, (name, away) in enumerate(zip(names, (self._away, None), strict=True)):
            report(0.5 * part, f"{name}, calibration")
            calibration = self._calibration(inputs, away)
            present, lacking = [], []
            # The comparison has one seed: it doubles the time as it is.
            seeds = self._seeds if away else self._seeds[:1]
            for number, seed in enumerate(seeds):
                done = (number + 1) / (len(seeds) + 1)
                report(0.5 * (part + done), f"{name}, seed {seed}")
                model = self._model(inputs, self._fold.train, seed, calibration, away)
                present.append(self._ranked(model, self._table, self._fold.test))
                lacking.append([self._ranked(model, one) for one in self._lacking])
            found[name] = present
            without = one_away(regions) if away else f"{name}, one region away"
            found[without] = [one for of_seed in lacking for one in of_seed]
            by_region = [list(of_region) for of_region in zip(*lacking, strict=True)]
            found[f"{without}, the worst"] = min(by_region, key=precision_of)
        return found

    def _batch(self, inputs: Inputs, report: Report) -> dict[str, list[Assessed]]:
        report(0.0, "batch model, calibration")
        calibration = self._calibration(inputs)
        found = []
        for number, seed in enumerate(self._seeds):
            report((number + 1) / (len(self._seeds) + 1), f"batch model, seed {seed}")
            model = self._model(inputs, self._fold.train, seed, calibration)
            found.append(self._ranked(model, self._table, self._fold.test))
        return {"batch": found}

    def _ranked(self, model: RungModel, table: Table, rows: Int64s | None = None) -> Assessed:
        """What a model is worth on the test attempts: rows of a table, or all of it."""
        wanted = np.arange(len(table.numbers)) if rows is None else rows
        return self._assessed(scored(model, table, wanted, self._sample.costs))

    def _assessed(self, ranked: Ranked) -> Assessed:
        return assess(self._sample, ranked, seed=self._fold.test_day)

    def _calibration(self, inputs: Inputs, away: RegionsAway | None = None) -> Calibration:
        """Fitted on the last training days, scored by a model of the days before."""
        train, day = self._fold.train, self._history.day
        held = day[train] > day[train[-1]] - CALIBRATION_DAYS
        known = self._known[train]
        raw_odds = Calibration(slope=1.0, intercept=0.0)
        if not (0 < known[held].sum() < held.sum() and known[~held].any()):
            return raw_odds
        model = self._model(inputs, train[~held], self._seeds[0], raw_odds, away)
        raw = raw_scores(model.model, *columns_of(self._table, train[held], inputs))
        return calibrate(raw, known[held], day[train[held]]).calibration

    def _model(
        self,
        inputs: Inputs,
        rows: Int64s,
        seed: int,
        calibration: Calibration,
        away: RegionsAway | None = None,
    ) -> RungModel:
        fitted = fit_model(
            inputs,
            self._table,
            rows,
            fraud=self._known[rows],
            settings=replace(self._settings, seed=seed),
            away=away,
        )
        facts = RungFacts(
            numbers=list(inputs.numbers),
            categories=list(inputs.categories),
            calibration=calibration,
            metrics={},
            unused=fitted.unused,
        )
        return RungModel(fitted.model, facts)


def _over_folds(by_fold: Sequence[Sequence[Assessed]]) -> dict[str, Any]:
    """Means over folds and seeds, and each fold's own figures of the first seed."""
    own = [
        {
            **seeds[0][0],
            "seeds": len(seeds),
            "intervals": interval([np.mean([draws for _, draws in seeds], axis=0)]),
        }
        for seeds in by_fold
    ]
    return {**mean_of(by_fold), "folds": own}


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
