"""Fits one CatBoost model on rows of a table, the same way for an artifact and for a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from catboost import CatBoost, FeaturesData, Pool

from app.features.rings import Int64s
from app.features.spec import REGIONS_PRESENT, FeatureSet, Inputs, InputState
from app.models.training.inputs import Table
from app.models.training.regions import RegionsAway

__all__ = [
    "Columns",
    "Fitted",
    "Lesson",
    "TrainSettings",
    "columns_of",
    "drawn",
    "fit_lesson",
    "fit_model",
    "lesson_of",
    "models_of",
]

Bools = npt.NDArray[np.bool_]
Columns = tuple[npt.NDArray[np.float32], npt.NDArray[np.object_]]

# Rows are drawn for copies apart from all else, so that a model without them is drawn the same.
_REGIONS_DRAW = 1


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
        regions_share: rows copied with one region's counters away.
        regions_weight: of such a copy, of its row's weight.
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
    regions_share: float = 1.0
    regions_weight: float = 1.0
    seed: int = 7
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and what it does not use.

    Attributes:
        model: takes all of its rung's inputs, in order.
        unused: inputs that the training data did not hold (the same, or nothing, in every row), or
            that were left out.
        rows: that it was fitted on, copies included.
    """

    model: CatBoost
    unused: list[str]
    rows: int


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


def drawn(
    fraud: Bools, settings: TrainSettings, rng: np.random.Generator
) -> tuple[Int64s, npt.NDArray[np.float64]]:
    """Rows to fit on: all fraud, and of more genuine rows than wanted a sample.

    Args:
        fraud: what was known of all rows, shape (rows,).
        settings: how many.
        rng: one number a row is drawn of it.

    Returns:
        Places of the rows, ascending, and how many rows each stands for, both of shape (drawn,).
    """
    share = min(1.0, settings.genuine_rows_max / max(1, int((~fraud).sum())))
    kept = np.flatnonzero(fraud | (rng.random(len(fraud)) < share))
    return kept, np.where(fraud[kept], 1.0, 1.0 / share)


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
    inputs: Inputs,
    table: Table,
    rows: Int64s,
    *,
    fraud: Bools,
    settings: TrainSettings,
    away: RegionsAway | None = None,
) -> Lesson:
    """Sample rows to fit on; a full model also learns what it is to lack counters.

    Args:
        inputs: of the model.
        table: all inputs.
        rows: to sample from.
        fraud: what was known of these rows.
        settings: how.
        away: what rows are with a region's counters away, of which a full model learns as well;
            None for one that does not.
    """
    rng = np.random.default_rng(settings.seed)
    kept, weight = drawn(fraud, settings, rng)
    label = fraud[kept]
    plain = _Rows(columns_of(table, rows[kept], inputs), label, weight)
    parts = [plain]
    if len(inputs.numbers) == len(table.features.numbers):
        parts.append(_without_entities(table.features, plain, settings, rng))
        if away is not None:
            parts.append(_without_a_region(away, table, rows[kept], plain, settings))
    columns = tuple(np.concatenate([part.columns[at] for part in parts]) for at in (0, 1))
    # A number that is always the same stays so where it is masked.
    unused = _unused(plain.columns[0], columns[1])
    if len(parts) > 2:  # the copies are there to teach it
        unused = [at for at in unused if at != inputs.numbers.index(REGIONS_PRESENT)]
    return Lesson(
        columns=(columns[0], columns[1]),
        label=np.concatenate([part.label for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        unused=unused,
    )


def fit_model(
    inputs: Inputs,
    table: Table,
    rows: Int64s,
    *,
    fraud: Bools,
    settings: TrainSettings,
    away: RegionsAway | None = None,
    report: Callable[[float], None] = lambda _share: None,
    without: Collection[str] = (),
) -> Fitted:
    """Fit a model.

    Args:
        inputs: of the model.
        table: all inputs.
        rows: to fit on.
        fraud: what was known of these rows.
        settings: how.
        away: what rows are with a region's counters away, of which a full model learns as well;
            None for one that does not.
        report: told the share done.
        without: inputs it is to ignore, on the very same rows.
    """
    lesson = lesson_of(inputs, table, rows, fraud=fraud, settings=settings, away=away)
    names = (*inputs.numbers, *inputs.categories)
    left_out = [at for at, name in enumerate(names) if name in without]
    unused = sorted({*lesson.unused, *left_out})
    return fit_lesson(inputs, replace(lesson, unused=unused), settings, report)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows to fit on, and what each weighs."""

    columns: Columns
    label: Bools
    weight: npt.NDArray[np.float64]


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
    return Fitted(model, [names[at] for at in lesson.unused], len(lesson.label))


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


def _without_entities(
    features: FeatureSet, plain: _Rows, settings: TrainSettings, rng: np.random.Generator
) -> _Rows:
    """Copies of some of the rows with counters unavailable.

    Each copy lacks those of about half of the entities, as it does when a shard is away.
    """
    copied = np.flatnonzero(rng.random(len(plain.label)) < settings.masked_share)
    numbers, categories = plain.columns[0][copied], plain.columns[1][copied]
    entity_of = {counter.name: counter.entity for counter in features.counters}
    for entity in features.entities:
        away = rng.random(len(copied)) < 0.5
        state_at = features.categories.index(f"{entity}_counters_state")
        away &= categories[:, state_at] != InputState.NOT_MAPPED.value
        categories[away, state_at] = InputState.UNAVAILABLE.value
        for feature in features.features:
            if entity_of[feature.counters[0]] is entity:
                numbers[away, features.numbers.index(feature.name)] = np.nan
    return _Rows((numbers, categories), plain.label[copied], plain.weight[copied])


def _without_a_region(
    away: RegionsAway, table: Table, rows: Int64s, plain: _Rows, settings: TrainSettings
) -> _Rows:
    """Copies of some of the rows with one region's counters away, each region equally often."""
    rng = np.random.default_rng([settings.seed, _REGIONS_DRAW])
    copied = np.flatnonzero(rng.random(len(rows)) < settings.regions_share)
    gone = rng.integers(0, away.received.regions, len(copied))
    copies = away.copies(table, rows[copied], gone)
    return _Rows(
        (copies.numbers, copies.categories),
        plain.label[copied],
        plain.weight[copied] * settings.regions_weight,
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
