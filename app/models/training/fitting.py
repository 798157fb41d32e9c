"""Fits one CatBoost model on rows of a table, the same way for an artifact and for a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from catboost import CatBoost, FeaturesData, Pool

from app.features.rings import Int64s
from app.features.spec import FeatureSet, Inputs, InputState
from app.models.training.inputs import Table

__all__ = [
    "Columns",
    "Fitted",
    "Lesson",
    "TrainSettings",
    "columns_of",
    "fit_lesson",
    "fit_model",
    "lesson_of",
    "models_of",
]

Bools = npt.NDArray[np.bool_]
Columns = tuple[npt.NDArray[np.float32], npt.NDArray[np.object_]]


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
        genuine_rows_max: of more genuine attempts a sample is drawn; each then weighs as many as
            it stands for. Fraud is always kept.
        masked_share: rows copied with their counters unavailable, so that the state is known.
        seed: of sampling and boosting.
        threads: fixed, since their number changes the last bits of a model.
    """

    warm_up_days: int = 10
    gap_days: int = 7
    calibration_days: int = 7
    iterations: int = 400
    depth: int = 6
    learning_rate: float = 0.03
    genuine_rows_max: int = 300_000
    masked_share: float = 0.05
    seed: int = 7
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and what it does not use.

    Attributes:
        model: takes all of its rung's inputs, in order.
        unused: inputs that the training data did not hold: the same, or nothing, in every row.
    """

    model: CatBoost
    unused: list[str]


def models_of(features: FeatureSet) -> tuple[tuple[str, Inputs], ...]:
    """The models of a feature set: rung and inputs."""
    return ("full", features.full_inputs), ("batch", features.batch_inputs)


def columns_of(table: Table, rows: Int64s, inputs: Inputs) -> Columns:
    """A model's inputs of some rows: a prefix of the full ones."""
    taken = table.take(rows)
    return (
        np.ascontiguousarray(taken.numbers[:, : len(inputs.numbers)]),
        np.ascontiguousarray(taken.categories[:, : len(inputs.categories)]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a model is fitted on, sampled and masked.

    Attributes:
        columns: inputs, copies with counters unavailable at the end.
        label: known fraud, shape (rows,).
        weight: how many attempts a row stands for, shape (rows,).
        unused: places of the inputs that are the same, or missing, in every row; numbers first.
    """

    columns: Columns
    label: Bools
    weight: npt.NDArray[np.float64]
    unused: list[int]


def lesson_of(
    inputs: Inputs, table: Table, rows: Int64s, *, fraud: Bools, settings: TrainSettings
) -> Lesson:
    """Sample rows to fit on; a full model also learns what it is to lack an entity's counters."""
    rng = np.random.default_rng(settings.seed)
    share = min(1.0, settings.genuine_rows_max / max(1, int((~fraud).sum())))
    kept = np.flatnonzero(fraud | (rng.random(len(fraud)) < share))
    label = fraud[kept]
    weight = np.where(label, 1.0, 1.0 / share)
    columns = columns_of(table, rows[kept], inputs)
    held = columns[0]  # a number that is always the same stays so where it is masked
    if len(inputs.numbers) == len(table.features.numbers):
        copied = np.flatnonzero(rng.random(len(label)) < settings.masked_share)
        columns = _with_masked_copies(table.features, columns, copied, rng)
        label, weight = (np.concatenate([of, of[copied]]) for of in (label, weight))
    return Lesson(columns=columns, label=label, weight=weight, unused=_unused(held, columns[1]))


def fit_model(
    inputs: Inputs,
    table: Table,
    rows: Int64s,
    *,
    fraud: Bools,
    settings: TrainSettings,
    report: Callable[[float], None] = lambda _share: None,
) -> Fitted:
    """Fit a model.

    Args:
        inputs: of the model.
        table: all inputs.
        rows: to fit on.
        fraud: what was known of these rows.
        settings: how.
        report: told the share done.
    """
    lesson = lesson_of(inputs, table, rows, fraud=fraud, settings=settings)
    return fit_lesson(inputs, lesson, settings, report)


def fit_lesson(
    inputs: Inputs,
    lesson: Lesson,
    settings: TrainSettings,
    report: Callable[[float], None] = lambda _share: None,
) -> Fitted:
    """Fit a model on rows that were sampled before, so that others can be fitted on the same."""
    model = CatBoost(_parameters(settings, lesson.unused))
    numbers, categories = lesson.columns
    model.fit(
        Pool(
            FeaturesData(num_feature_data=numbers, cat_feature_data=categories),
            label=lesson.label.astype(np.int8),
            weight=lesson.weight,
        ),
        callbacks=[_Progress(settings.iterations, report)],
    )
    names = (*inputs.numbers, *inputs.categories)
    return Fitted(model, [names[at] for at in lesson.unused])


def _parameters(settings: TrainSettings, unused: Sequence[int]) -> dict[str, object]:
    return {
        "loss_function": "Logloss",
        "iterations": settings.iterations,
        "depth": settings.depth,
        "learning_rate": settings.learning_rate,
        "random_seed": settings.seed,
        "thread_count": settings.threads,
        "ignored_features": list(unused),
        "max_ctr_complexity": 1,  # pairs of categories make tables of gigabytes
        "one_hot_max_size": 8,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


def _unused(numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> list[int]:
    """Places of the inputs that are the same, or missing, in every row; numbers come first."""
    same = (numbers == numbers[0]) | (np.isnan(numbers) & np.isnan(numbers[0]))
    alike = (categories == categories[0]).astype(bool)
    constant = np.concatenate([same.all(axis=0), alike.all(axis=0)])
    return [int(at) for at in np.flatnonzero(constant)]


def _with_masked_copies(
    features: FeatureSet, columns: Columns, copied: Int64s, rng: np.random.Generator
) -> Columns:
    """The rows, and copies of some of them with counters unavailable.

    Each copy lacks those of about half of the entities, as it does when a shard is away.
    """
    numbers, categories = columns
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
    )


class _Progress:
    """CatBoost's callback."""

    def __init__(self, total: int, report: Callable[[float], None]) -> None:
        self._total, self._report = total, report

    def after_iteration(self, info: object) -> bool:
        """Report; never stop early."""
        done: int = info.iteration  # type: ignore[attr-defined]
        self._report(done / self._total)
        return True
