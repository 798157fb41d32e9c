"""Trains both models of an artifact and publishes it.

Protocol, on time: fit on the days after a warm-up, calibrate on the last week before the gap,
leave a gap of one label delay, test on the last week. A label counts once it had arrived by the
day after the gap's begin; fraud that nobody had reported by then is trained on as genuine, as it
would be in production.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from catboost import CatBoost

from app.features.rings import Int64s
from app.features.spec import DAY_MS, Inputs
from app.models.artifact import (
    ARTIFACT,
    GOLDEN,
    KIND,
    Artifact,
    ArtifactFacts,
    Golden,
    RegionFacts,
    RungFacts,
    RungModel,
    load_artifact,
    raw_scores,
)
from app.models.training.calibrate import Chosen, calibrate
from app.models.training.evaluate import TEST_DAYS, Evaluation, evaluate, test_rows
from app.models.training.fingerprint import fingerprint
from app.models.training.fitting import (
    Fitted,
    TrainSettings,
    columns_of,
    drawn,
    fit_model,
    models_of,
)
from app.models.training.history import History, HistoryError
from app.models.training.inputs import Table
from app.models.training.metrics import METRICS
from app.models.training.model_card import Told, model_card
from app.models.training.phases import Phases
from app.models.training.regions import RegionsAway
from app.models.training.report_page import report_page
from app.publish import publish

__all__ = ["Fit", "Split", "TrainSettings", "attempts_needed", "fit_rung", "train"]

Bools = npt.NDArray[np.bool_]
Report = Callable[[float, str], None]


def attempts_needed(history: History, settings: TrainSettings) -> Int64s:
    """The attempts whose inputs training looks at: drawn to fit on, to calibrate and to test on.

    Raises:
        HistoryError: as of `train`.
    """
    split = Split(history, settings)
    rng = np.random.default_rng(settings.seed)
    fit = split.fit[drawn(split.fraud[split.fit], settings, rng)[0]]
    return np.unique(np.concatenate([fit, split.calibrate, test_rows(history)]))


def train(
    history: History,
    table: Table,
    folder: Path,
    settings: TrainSettings | None = None,
    *,
    report: Report = lambda _share, _what: None,
    phases: Phases | None = None,
) -> tuple[Artifact, Mapping[str, Mapping[str, Any]]]:
    """Train, measure, publish with a report, and check what was published.

    Args:
        history: all attempts.
        table: their inputs, at least of those in `attempts_needed`.
        folder: where models are published.
        settings: how.
        report: told the share done and what is being done.
        phases: told what ended, on how many rows.

    Returns:
        The published artifact, loaded as a scorer loads it, and what `evaluate` says of each rung.

    Raises:
        HistoryError: too few days, or no known fraud to learn from.
    """
    settings, phases = settings or TrainSettings(), phases or Phases()
    split = Split(history, settings)
    away = RegionsAway(history, table.features)
    folder.mkdir(parents=True, exist_ok=True)
    fits: dict[str, Fit] = {}
    for rung, inputs in models_of(table.features):
        told = _part(report, 0.4 * len(fits), f"{rung} model")
        fits[rung] = fit_rung(
            inputs, split=split, table=table, settings=settings, away=away, report=told
        )
        phases.end(f"fit_{rung}", rows=fits[rung].fitted.rows)
    models = {rung: fit.model for rung, fit in fits.items()}
    evaluation = evaluate(
        history,
        table,
        models,
        lambda done, what: report(0.8 + 0.15 * done, what),
        away=away,
    )
    phases.end("evaluate", rows=len(evaluation.sample.fraud))
    report(0.96, "publishing")
    facts = ArtifactFacts(
        name="checkout",
        provenance=history.provenance,
        features=table.features.name,
        feature_schema=table.features.schema,
        masked=_masked(evaluation.regions),
        data=split.facts(),
        rungs={
            rung: msgspec.structs.replace(
                fit.facts, metrics={name: evaluation.rungs[rung][name] for name in METRICS}
            )
            for rung, fit in fits.items()
        },
        regions=evaluation.regions,
    )
    version = _publish(folder, facts, fits, evaluation, settings)
    artifact = load_artifact(folder, version)
    phases.end("publish_model", rows=len(history))
    return artifact, evaluation.rungs


def _masked(regions: RegionFacts) -> list[str]:
    """What of the counters the full model can do without, a region only if batch is no better."""
    return ["entities", "regions"] if regions.worst >= regions.batch else ["entities"]


def _publish(
    folder: Path,
    facts: ArtifactFacts,
    fits: Mapping[str, Fit],
    evaluation: Evaluation,
    settings: TrainSettings,
) -> str:
    files: dict[str, Path | bytes] = {}
    for rung, fit in fits.items():
        path = folder / f".{rung}.cbm"
        fit.fitted.model.save_model(str(path))
        files[path.name.removeprefix(".")] = path
    golden = {rung: fit.golden for rung, fit in fits.items()}
    identity = _identity(facts, golden)
    told = Told(
        facts=facts,
        identity=identity,
        settings=settings,
        evaluation=evaluation,
        chosen={rung: fit.chosen for rung, fit in fits.items()},
        importance={rung: fit.importance for rung, fit in fits.items()},
    )
    files[ARTIFACT] = msgspec.json.format(msgspec.json.encode(facts))
    files[GOLDEN] = msgspec.msgpack.encode(golden)
    files["report.html"] = report_page(told).encode()
    files["model-card.md"] = model_card(told).encode()
    return publish(
        folder,
        kind=KIND,
        files=files,
        facts={"provenance": facts.provenance, "identity": identity},
    )


def _part(report: Report, first: float, what: str) -> Callable[[float], None]:
    return lambda share: report(first + 0.4 * share, f"{what}: {share:.0%} of its trees")


class Split:
    """Which rows are for what, and what was known of them."""

    def __init__(self, history: History, settings: TrainSettings) -> None:
        """Divide a history.

        Raises:
            HistoryError: too few days, or no known fraud to learn from.
        """
        first, last = int(history.day[0]), int(history.day[-1])
        test_from = last + 1 - TEST_DAYS
        until = test_from - settings.gap_days
        calibrate_from = until - settings.calibration_days
        fit_from = first + settings.warm_up_days
        if calibrate_from - fit_from < 7:
            raise HistoryError(
                f"the data spans {last + 1 - first} days; training needs at least "
                f"{settings.warm_up_days + 7 + settings.calibration_days + settings.gap_days}"
                f" and {TEST_DAYS} more to test on."
            )
        self.day = day = history.day
        # Labels as they stood when the test week began.
        self.fraud: Bools = history.known_fraud(test_from * DAY_MS)
        self.fit = np.flatnonzero((day >= fit_from) & (day < calibrate_from))
        self.calibrate = np.flatnonzero((day >= calibrate_from) & (day < until))
        for what, rows in (("fit on", self.fit), ("calibrate on", self.calibrate)):
            if not self.fraud[rows].any():
                raise HistoryError(f"there is no known fraud among the attempts to {what}.")
        self._history = history
        self._days = (fit_from, calibrate_from, until, test_from)

    def facts(self) -> dict[str, str | int | float]:
        """Fingerprint and period of the data."""
        history = self._history
        names = ("fit_from_day", "calibrate_from_day", "gap_from_day", "test_from_day")
        return {
            "fingerprint": fingerprint(history),
            "attempts": len(history),
            "fraud_rate": float(history.fraud.mean()),
            **dict(zip(names, self._days, strict=True)),
        }


@dataclass(frozen=True, slots=True)
class Fit:
    """A model of a rung, calibrated, and what is published beside it."""

    fitted: Fitted
    facts: RungFacts
    chosen: Chosen
    golden: Golden
    importance: dict[str, float]

    @property
    def model(self) -> RungModel:
        """As a scorer has it."""
        return RungModel(self.fitted.model, self.facts)


def fit_rung(
    inputs: Inputs,
    *,
    split: Split,
    table: Table,
    settings: TrainSettings,
    away: RegionsAway | None = None,
    report: Callable[[float], None],
    without: Collection[str] = (),
) -> Fit:
    """Fit and calibrate a model as a rung has it.

    Args:
        inputs: of the model.
        split: what to fit and calibrate on.
        table: all inputs.
        settings: how.
        away: what rows are with a region's counters away; None for a model that learns none.
        report: told the share done.
        without: inputs it is to ignore.
    """
    fitted = fit_model(
        inputs,
        table,
        split.fit,
        fraud=split.fraud[split.fit],
        settings=settings,
        away=away,
        report=report,
        without=without,
    )
    columns = columns_of(table, split.calibrate, inputs)
    fraud = split.fraud[split.calibrate]
    chosen = calibrate(raw_scores(fitted.model, *columns), fraud, split.day[split.calibrate])
    names = (*inputs.numbers, *inputs.categories)
    importance = fitted.model.get_feature_importance(thread_count=settings.threads)
    facts = RungFacts(
        numbers=list(inputs.numbers),
        categories=list(inputs.categories),
        calibration=chosen.calibration,
        metrics={},
        unused=fitted.unused,
    )
    return Fit(
        fitted,
        facts,
        chosen,
        _golden(fitted.model, *columns, fraud),
        dict(zip(names, importance.tolist(), strict=True)),
    )


def _golden(
    model: CatBoost,
    numbers: npt.NDArray[np.float32],
    categories: npt.NDArray[np.object_],
    fraud: Bools,
    rows: int = 64,
) -> Golden:
    """Rows to check a loaded model by: fraud and genuine ones, spread over time."""
    chosen = np.concatenate(
        [np.flatnonzero(part)[:: max(1, int(part.sum()) * 2 // rows)] for part in (fraud, ~fraud)]
    )
    numbers, categories = np.ascontiguousarray(numbers[chosen]), categories[chosen]
    return Golden(
        numbers=numbers.astype("<f4").tobytes(),
        categories=[list(row) for row in categories],
        raw=raw_scores(model, numbers, categories).tolist(),
    )


def _identity(facts: ArtifactFacts, golden: Mapping[str, Golden]) -> str:
    """Hash of what a model is: a `.cbm` also holds a random id and the time it was written."""
    content = msgspec.json.encode([facts, {rung: of.raw for rung, of in golden.items()}])
    return hashlib.sha256(content).hexdigest()[:16]
