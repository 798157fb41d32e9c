"""The model artifact: both models, their calibration and the proof that they load as trained.

    full.cbm, batch.cbm      CatBoost models
    artifact.json            inputs, calibration, provenance, metrics, fingerprint of the data
    golden.msgpack           rows and the raw scores that training computed for them

A file whose checksum is right can still be the wrong model, and CatBoost loads one with a flipped
byte without a word, so a version is used only when it also reproduces its golden scores.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import catboost
import msgspec
import numpy as np
import numpy.typing as npt
from catboost import CatBoost, CatBoostError, FeaturesData, Pool

from app.features.sets import FEATURE_SETS
from app.features.spec import FeatureSet
from app.models.accelerator import Accelerator
from app.publish import PublicationError, verified

__all__ = [
    "ARTIFACT",
    "GOLDEN",
    "KIND",
    "Artifact",
    "ArtifactFacts",
    "Calibration",
    "Golden",
    "RegionFacts",
    "RungFacts",
    "RungModel",
    "load_artifact",
    "raw_scores",
]

CATBOOST = f"catboost {catboost.__version__}"

KIND = "model"
ARTIFACT = "artifact.json"
GOLDEN = "golden.msgpack"
# The same evaluator on the same architecture gives the same bits; others differ in the last ones.
GOLDEN_TOLERANCE = 1e-9
FEW_ROWS = 64
_TRAINING_TEXTS = ("params", "training", "output_options")  # parsed again with every call

log = logging.getLogger(__name__)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """From log odds to a probability, by Platt or beta scaling.

    probability = 1 / (1 + exp(-odds)), where odds is of Platt `slope x raw + intercept` and, with
    a `slope_high`, of beta `slope ln(s) - slope_high ln(1 - s) + intercept` with s the share that
    the raw score stands for. `app.models.training.calibrate` has the sources and the choice.
    """

    slope: float
    intercept: float
    slope_high: float | None = None

    def probability(self, raw: float) -> float:
        """Calibrated probability of one raw score (log odds)."""
        if self.slope_high is None:
            odds = self.slope * raw + self.intercept
        else:
            odds = self.slope_high * _softplus(raw) - self.slope * _softplus(-raw) + self.intercept
        if odds >= 0:
            return 1.0 / (1.0 + math.exp(-odds))
        grown = math.exp(odds)
        return grown / (1.0 + grown)


def _softplus(value: float) -> float:
    """ln(1 + exp(value)), without overflow."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


class RungFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact says of one of its models.

    Attributes:
        numbers: numeric inputs of a row, in order.
        categories: category inputs of a row, in order.
        calibration: of the raw score.
        metrics: on the last week of the training data.
        unused: inputs that the training data did not hold: the model pins that it ignores them,
            whatever a row says.
    """

    numbers: list[str]
    categories: list[str]
    calibration: Calibration
    metrics: dict[str, float]
    unused: list[str] = []


class RegionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a full model ranks at, average precision, with one home region's counters away.

    On the last week of the training data, as the metrics of the models.

    Attributes:
        regions: how many there are.
        drawn: the history did not say which one received an attempt.
        mean: over the regions, one of them away at a time.
        worst: of them.
        batch: what the batch model ranks at; where the worst is not below it, "regions" is masked.
    """

    regions: int
    drawn: bool
    mean: float
    worst: float
    batch: float


class ArtifactFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact says of itself.

    Attributes:
        name: of the model.
        provenance: "simulated" or "production": what the training data was.
        features: name of the feature set.
        feature_schema: of that set, counters included.
        masked: what of the counters may be missing: the model was trained with copies of rows
            without it ("entities", "regions"), and with a region away it ranks no worse than batch.
        data: fingerprint and period of the training data.
        rungs: by rung name, "full" and "batch".
        regions: what a region is worth to the full model, where that was measured.
    """

    name: str
    provenance: str
    features: str
    feature_schema: int
    masked: list[str]
    data: dict[str, str | int | float]
    rungs: dict[str, RungFacts]
    regions: RegionFacts | None = None


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one model with the raw scores that training computed.

    Attributes:
        numbers: float32 little endian, row by row.
        categories: one list a row.
        raw: raw scores, one a row.
    """

    numbers: bytes
    categories: list[list[bytes]]
    raw: list[float]


@dataclass(frozen=True, slots=True)
class RungModel:
    """One loaded model.

    Attributes:
        model: CatBoost's.
        facts: what the artifact says of it.
        accelerator: that evaluates it in CatBoost's place while it can be trusted.
    """

    model: CatBoost
    facts: RungFacts
    accelerator: Accelerator | None = None

    @property
    def evaluator(self) -> str:
        """What evaluates rows now, with its version."""
        if self.accelerator is not None and self.accelerator.trusted:
            return self.accelerator.name
        return CATBOOST

    def raw(
        self, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]
    ) -> npt.NDArray[np.float64]:
        """Raw scores (log odds) of rows; see `raw_scores`."""
        return raw_scores(self.model, numbers, categories)

    def served(
        self, numbers: npt.NDArray[np.float32], categories: Sequence[Sequence[bytes]]
    ) -> npt.NDArray[np.float64]:
        """As `raw`, the same bits, by whichever evaluator is in use."""
        if self.accelerator is not None:
            scores = self.accelerator.raw(numbers, categories)
            if scores is not None:
                return scores
        return self.raw(numbers, objects(categories))


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded artifact that passed every check."""

    version: str
    facts: ArtifactFacts
    full: RungModel
    batch: RungModel


def raw_scores(
    model: CatBoost, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]
) -> npt.NDArray[np.float64]:
    """Evaluate a model.

    Args:
        model: CatBoost model.
        numbers: float32, shape (rows, numeric inputs), C order.
        categories: bytes, shape (rows, category inputs).

    Returns:
        Log odds, shape (rows,).
    """
    scores: npt.NDArray[np.float64] = model.predict(
        _pool(numbers, categories), prediction_type="RawFormulaVal", thread_count=1
    )
    return scores


def _pool(numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> Pool:
    """Rows as CatBoost takes them quickest: of a few it takes a table of objects in half the time.

    Measured of 44 numbers and 17 categories: 1 row 108 us for 133, 8 rows 174 for 343, 32 rows 413
    for 508, evaluation included; a row more costs 10 us as objects and 7 as `FeaturesData`.
    """
    rows, width = numbers.shape
    if rows > FEW_ROWS:
        data = FeaturesData(num_feature_data=numbers, cat_feature_data=categories)
        return Pool(data, thread_count=1)
    table = np.empty((rows, width + categories.shape[1]), dtype=object)
    table[:, :width] = numbers
    table[:, width:] = categories
    return Pool(table, cat_features=list(range(width, table.shape[1])), thread_count=1)


def load_artifact(
    folder: Path, version: str, features: FeatureSet | None = None, *, accelerate: bool = False
) -> Artifact:
    """Load a published artifact and check it to the golden scores.

    Args:
        folder: where models are published.
        version: of the model.
        features: what the service reads; by default any set that this release has.
        accelerate: have the models evaluated by `app.models.accelerator` where that agrees.

    Raises:
        PublicationError: it is damaged, made for other inputs, or scores differently.
    """
    verified(folder, version, kind=KIND)
    where = folder / "versions" / version
    try:
        facts = msgspec.json.decode((where / ARTIFACT).read_bytes(), type=ArtifactFacts)
        golden = msgspec.msgpack.decode((where / GOLDEN).read_bytes(), type=dict[str, Golden])
    except (OSError, msgspec.MsgspecError) as error:
        raise PublicationError(f"model {version} cannot be read: {error}.") from None
    features = features or FEATURE_SETS.get(facts.features)
    if features is None or (features.name, features.schema) != (
        facts.features,
        facts.feature_schema,
    ):
        raise PublicationError(
            f"model {version} was trained on feature set {facts.features!r}, schema "
            f"{facts.feature_schema}, which is not what is read here."
        )
    models = {}
    for rung, inputs in (("full", features.full_inputs), ("batch", features.batch_inputs)):
        of_rung = facts.rungs.get(rung)
        if of_rung is None or rung not in golden:
            raise PublicationError(f"model {version} has no {rung} model.")
        if (tuple(of_rung.numbers), tuple(of_rung.categories)) != (
            inputs.numbers,
            inputs.categories,
        ):
            raise PublicationError(f"the {rung} model of {version} has other inputs.")
        path = where / f"{rung}.cbm"
        models[rung] = _load(path, of_rung, golden[rung])
        if accelerate:
            models[rung] = _accelerated(models[rung], path, golden[rung])
    return Artifact(version, facts, models["full"], models["batch"])


def _load(path: Path, facts: RungFacts, golden: Golden) -> RungModel:
    model = CatBoost()
    try:
        model.load_model(str(path))
        _strip(model)
        got = raw_scores(
            model,
            np.frombuffer(golden.numbers, dtype="<f4").reshape(-1, len(facts.numbers)).copy(),
            objects(golden.categories),
        )
    except CatBoostError as error:
        raise PublicationError(f"{path.name} is not a usable model: {error}.") from None
    worst = float(np.max(np.abs(got - np.array(golden.raw))))
    if not worst <= GOLDEN_TOLERANCE:
        raise PublicationError(f"{path.name} scores its golden rows differently, by {worst:.3g}.")
    return RungModel(model, facts)


def _strip(model: CatBoost) -> None:
    """Drop, in memory, how the model was trained: CatBoost parses that JSON with every call.

    Of a batch of 32 it takes two fifths, of a single row a third.
    """
    metadata = model.get_metadata()
    for name in _TRAINING_TEXTS:
        if name in metadata:
            del metadata[name]


def _accelerated(model: RungModel, path: Path, golden: Golden) -> RungModel:
    """The model with an accelerator, if that scores the golden rows as CatBoost does."""
    numbers = np.frombuffer(golden.numbers, dtype="<f4").reshape(-1, len(model.facts.numbers))
    try:
        fast = Accelerator(
            path, lambda rows, own: model.raw(np.ascontiguousarray(rows), objects(own))
        )
    except RuntimeError:
        log.exception("%s stays with CatBoost", path)
        return model
    scores = fast.raw(numbers, golden.categories)
    if scores is None or not fast.agrees(numbers.copy(), golden.categories, scores):
        return model
    return replace(model, accelerator=fast)


def objects(rows: Sequence[Sequence[bytes]]) -> npt.NDArray[np.object_]:
    """Rows of categories as the array that CatBoost takes, shape (rows, categories)."""
    array = np.empty((len(rows), len(rows[0]) if rows else 0), dtype=object)
    for at, row in enumerate(rows):
        array[at] = row
    return array
