"""Trains both models of an artifact and publishes it.

Protocol, on time: fit on the days after a warm-up, calibrate on the last week before the gap,
leave a gap of one label delay, test on the last week. A label counts once it had arrived by the
day after the gap's begin; fraud that nobody had reported by then is trained on as genuine, as it
would be in production.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from catboost import CatBoost, FeaturesData, Pool
from sklearn.linear_model import LogisticRegression

from app.features.rings import Int64s
from app.features.spec import (
    DAY_MS,
    FeatureSet,
    Inputs,
    InputState,
)
from app.models.artifact import (
    ARTIFACT,
    GOLDEN,
    KIND,
    Artifact,
    ArtifactFacts,
    Calibration,
    Golden,
    RungFacts,
    load_artifact,
    raw_scores,
)
from app.models.training.evaluate import TEST_DAYS, evaluate
from app.models.training.history import History, HistoryError
from app.models.training.inputs import Table
from app.publish import publish

__all__ = ["TrainSettings", "train"]

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How to train.

    Attributes:
        warm_up_days: first days, for windows to fill.
        gap_days: label delay between training and test.
        calibration_days: last days before the gap.
        iterations: trees.
        depth: of a tree.
        learning_rate: of boosting.
        genuine_share: genuine attempts kept; each then weighs as many as it stands for.
        masked_share: rows copied with their counters unavailable, so that the state is known.
        seed: of sampling and boosting.
        threads: fixed, since their number changes the last bits of a model.
    """

    warm_up_days: int = 10
    gap_days: int = 7
    calibration_days: int = 7
    iterations: int = 200
    depth: int = 6
    learning_rate: float = 0.08
    genuine_share: float = 0.35
    masked_share: float = 0.05
    seed: int = 7
    threads: int = 2


def train(
    history: History,
    table: Table,
    folder: Path,
    settings: TrainSettings | None = None,
    *,
    report: Callable[[float, str], None] = lambda _share, _what: None,
) -> tuple[Artifact, Mapping[str, Mapping[str, float]]]:
    """Train, check, publish.

    Args:
        history: all attempts.
        table: their inputs.
        folder: where models are published.
        settings: how.
        report: told the share done and what is being done.

    Returns:
        The published artifact, loaded as a scorer loads it, and the metrics of each rung.

    Raises:
        HistoryError: too few days, or no known fraud to learn from.
    """
    settings = settings or TrainSettings()
    split = _Split(history, settings)
    folder.mkdir(parents=True, exist_ok=True)
    fits = {}
    for at, (rung, inputs) in enumerate(_models(table.features)):

        def told(share: float, what: str, at: int = at) -> None:
            report(0.4 * (at + share), what)

        fits[rung] = _fit(rung, inputs, split=split, table=table, settings=settings, report=told)
    files, golden, rungs = {}, {}, {}
    for rung, fit in fits.items():
        path = folder / f".{rung}.cbm"
        fit.model.save_model(str(path))
        files[f"{rung}.cbm"] = path
        golden[rung] = fit.golden
        rungs[rung] = RungFacts(
            numbers=list(fit.inputs.numbers),
            categories=list(fit.inputs.categories),
            calibration=fit.calibration,
            metrics={},
        )
    facts = ArtifactFacts(
        name="checkout",
        provenance=history.provenance,
        features=table.features.name,
        feature_schema=table.features.schema,
        masked=["entities"],
        data=split.facts(),
        rungs=rungs,
    )
    report(0.85, "publishing")
    version = publish(
        folder,
        kind=KIND,
        files={
            **files,
            ARTIFACT: msgspec.json.format(msgspec.json.encode(facts)),
            GOLDEN: msgspec.msgpack.encode(golden),
        },
        facts={"provenance": history.provenance, "identity": _identity(facts, golden)},
    )
    artifact = load_artifact(folder, version)
    metrics = evaluate(history, table, artifact, lambda s, what: report(0.85 + 0.15 * s, what))
    return artifact, metrics


class _Split:
    """Which rows are for what, and what was known of them."""

    def __init__(self, history: History, settings: TrainSettings) -> None:
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
        day = history.day
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
        digest = hashlib.sha256()
        later = history.later
        columns = (history.received_ms, history.amount_ref, history.labelled_ms)
        for column in (*columns, later.attempt, later.known_ms, later.what):
            digest.update(np.ascontiguousarray(column).tobytes())
        names = ("fit_from_day", "calibrate_from_day", "gap_from_day", "test_from_day")
        return {
            "fingerprint": digest.hexdigest()[:16],
            "attempts": len(history),
            "fraud_rate": float(history.fraud.mean()),
            **dict(zip(names, self._days, strict=True)),
        }


@dataclass(frozen=True, slots=True)
class _Fit:
    model: CatBoost
    inputs: Inputs
    calibration: Calibration
    golden: Golden


def _fit(
    rung: str,
    inputs: Inputs,
    *,
    split: _Split,
    table: Table,
    settings: TrainSettings,
    report: Callable[[float, str], None],
) -> _Fit:
    rng = np.random.default_rng(settings.seed)
    fraud = split.fraud[split.fit]
    kept = fraud | (rng.random(len(fraud)) < settings.genuine_share)
    rows = split.fit[kept]
    weight = np.where(split.fraud[rows], 1.0, 1.0 / settings.genuine_share)
    numbers, categories = _columns(table, rows, inputs)
    label = split.fraud[rows]
    if rung == "full":
        numbers, categories, label, weight = _with_masked_copies(
            table.features, numbers, categories, label, weight, share=settings.masked_share, rng=rng
        )
    model = CatBoost(
        {
            "loss_function": "Logloss",
            "iterations": settings.iterations,
            "depth": settings.depth,
            "learning_rate": settings.learning_rate,
            "random_seed": settings.seed,
            "thread_count": settings.threads,
            "max_ctr_complexity": 1,  # pairs of categories make tables of gigabytes
            "one_hot_max_size": 8,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
    )
    model.fit(
        Pool(
            FeaturesData(num_feature_data=numbers, cat_feature_data=categories),
            label=label.astype(np.int8),
            weight=weight,
        ),
        callbacks=[_Progress(rung, settings.iterations, report)],
    )
    numbers, categories = _columns(table, split.calibrate, inputs)
    raw = raw_scores(model, numbers, categories)
    calibration = _platt(raw, split.fraud[split.calibrate])
    golden = _golden(model, numbers, categories, split.fraud[split.calibrate])
    return _Fit(model, inputs, calibration, golden)


def _columns(
    table: Table, rows: Int64s, inputs: Inputs
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.object_]]:
    """A model's inputs: a prefix of the full ones."""
    taken = table.take(rows)
    return (
        np.ascontiguousarray(taken.numbers[:, : len(inputs.numbers)]),
        np.ascontiguousarray(taken.categories[:, : len(inputs.categories)]),
    )


def _models(features: FeatureSet) -> tuple[tuple[str, Inputs], ...]:
    return ("full", features.full_inputs), ("batch", features.batch_inputs)


def _with_masked_copies(
    features: FeatureSet,
    numbers: npt.NDArray[np.float32],
    categories: npt.NDArray[np.object_],
    label: Bools,
    weight: npt.NDArray[np.float64],
    *,
    share: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.object_], Bools, npt.NDArray[np.float64]]:
    """The rows, and copies of some of them with counters unavailable.

    Each copy lacks those of about half of the entities, as it does when a shard is away.
    """
    copied = np.flatnonzero(rng.random(len(label)) < share)
    masked_numbers, masked_categories = numbers[copied], categories[copied]
    entity_of = {counter.name: counter.entity for counter in features.counters}
    for entity in features.entities:
        away = rng.random(len(copied)) < 0.5
        state_at = features.categories.index(f"{entity}_counters_state")
        away &= masked_categories[:, state_at] != InputState.NOT_MAPPED.value
        masked_categories[away, state_at] = InputState.UNAVAILABLE.value
        for feature in features.features:
            if entity_of[feature.counters[0]] is entity:
                masked_numbers[away, features.numbers.index(feature.name)] = np.nan
    return (
        np.concatenate([numbers, masked_numbers]),
        np.concatenate([categories, masked_categories]),
        np.concatenate([label, label[copied]]),
        np.concatenate([weight, weight[copied]]),
    )


def _platt(raw: npt.NDArray[np.float64], fraud: Bools) -> Calibration:
    fit = LogisticRegression(C=1e6).fit(raw.reshape(-1, 1), fraud)
    return Calibration(slope=float(fit.coef_[0, 0]), intercept=float(fit.intercept_[0]))


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


class _Progress:
    """CatBoost's callback."""

    def __init__(self, rung: str, total: int, report: Callable[[float, str], None]) -> None:
        self._rung, self._total, self._report = rung, total, report

    def after_iteration(self, info: object) -> bool:
        """Report; never stop early."""
        done: int = info.iteration  # type: ignore[attr-defined]
        self._report(done / self._total, f"{self._rung} model: tree {done} of {self._total}")
        return True
