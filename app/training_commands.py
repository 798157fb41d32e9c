"""The commands `train` and `evaluate`: from a history to models, and what each rung is worth."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from app.command_line import DataOption, HomeOption, JsonOption, MappingOption, print_json, progress
from app.errors import OperatorError
from app.features.names import FeatureSetName
from app.models.training.names import Protocol

__all__ = ["evaluate", "train"]


def train(
    data: DataOption = None,
    mapping: MappingOption = None,
    features: Annotated[
        FeatureSetName, typer.Option(help="Feature set that the models see.")
    ] = FeatureSetName.REFERENCE,
    rows_max: Annotated[
        int,
        typer.Option(
            min=1_000,
            help="Genuine attempts to fit on; of more a sample is drawn. Fraud is always kept.",
        ),
    ] = 300_000,
    home: HomeOption = Path(".stepdown"),
    region: Annotated[
        list[str] | None,
        typer.Option(help="Region to publish in, repeatable; every region of HOME by default."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Train both models on a history, check them, and publish them.

    Running scorers follow within a second. A version that fails its checks is refused and the
    last good one stays. The same history and options give the same identity on any machine of one
    architecture.
    """
    from app.registry import KINDS, Registry

    registry = Registry(home)
    where = _history(data or registry.data, mapping)
    from app.features.sets import feature_set
    from app.manifest import read_manifest
    from app.models.training.mapped import read_history
    from app.models.training.phases import Phases
    from app.models.training.release import release
    from app.models.training.train import TrainSettings
    from app.publish import adopt

    phases = Phases()
    with progress(json=json) as report:
        report(0.0, "reading the history")
        history = read_history(where, mapping)
        phases.end("read", rows=len(history))
        artifact, metrics = release(
            registry,
            history,
            feature_set(features),
            lambda done, what: report(0.05 + 0.95 * done, what),
            settings=TrainSettings(genuine_rows_max=rows_max),
            phases=phases,
        )
    folders = [home / name / "published" for name in region] if region else _regions(home)
    for folder in folders:
        for kind in KINDS:
            adopt(registry.folder / kind, folder / kind)
    manifest, _ = read_manifest(registry.folder / "model", artifact.version)
    version = registry.folder / "model" / "versions" / artifact.version
    said = {
        "version": artifact.version,
        "identity": manifest.facts["identity"],
        "provenance": artifact.facts.provenance,
        "masked": artifact.facts.masked,
        "regions": msgspec.to_builtins(artifact.facts.regions),
        "published": [str(folder) for folder in folders],
        "report": str(version / "report.html"),
        "model_card": str(version / "model-card.md"),
        "rungs": metrics,
        **phases.said(),
    }
    if json:
        print_json(said)
        return
    from app.models.training.tables import print_evaluation, print_phases

    print_evaluation(said)
    print_phases(said)
    typer.echo(f"identity: {said['identity']}")
    typer.echo(f"report: {said['report']}")


def evaluate(
    data: DataOption = None,
    mapping: MappingOption = None,
    protocol: Annotated[
        Protocol | None,
        typer.Option(
            help="Train and test fold after fold: by the book's dates, or on the last weeks. "
            "Without it the published model is measured on the last week."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="Folds, a week apart.")] = 4,
    train_days: Annotated[int, typer.Option(min=4, help="Training days of a fold.")] = 7,
    delay_days: Annotated[int, typer.Option(min=0, help="Days from training to test.")] = 7,
    seeds: Annotated[str, typer.Option(help="Seeds of boosting, averaged over.")] = "1,2,3",
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Measure every rung: on the last week, or by a protocol of folds."""
    from app.registry import Registry

    where = _history(data or Registry(home).data, mapping)
    if protocol is None:
        said = _last_week(where, mapping, home, json=json)
    else:
        said = _folds(
            (where, mapping),
            _numbers(seeds),
            json=json,
            protocol=protocol,
            folds=folds,
            train_days=train_days,
            delay_days=delay_days,
        )
    if json:
        print_json(said)
        return
    from app.models.training.tables import print_evaluation

    print_evaluation(said)


def _last_week(where: Path, mapping: Path | None, home: Path, *, json: bool) -> dict[str, Any]:
    from app.features.sets import feature_set
    from app.models.artifact import load_artifact
    from app.models.training.evaluate import evaluate as measure
    from app.models.training.evaluate import test_rows
    from app.models.training.inputs import inputs_of
    from app.models.training.mapped import read_history
    from app.publish import current
    from app.registry import Registry

    folder = Registry(home).folder / "model"
    artifact = load_artifact(folder, current(folder))
    with progress(json=json) as report:
        history = read_history(where, mapping)
        features = feature_set(artifact.facts.features)
        table = inputs_of(
            history,
            features,
            lambda done, what: report(0.3 * done, what),
            attempts=test_rows(history),
        )
        measured = measure(
            history, table, artifact, lambda done, what: report(0.3 + 0.7 * done, what)
        )
    return {
        "version": artifact.version,
        "provenance": artifact.facts.provenance,
        "masked": artifact.facts.masked,
        "regions": msgspec.to_builtins(measured.regions),
        "rungs": measured.rungs,
    }


def _folds(
    source: tuple[Path, Path | None],
    seeds: list[int],
    *,
    json: bool,
    protocol: Protocol,
    folds: int,
    train_days: int,
    delay_days: int,
) -> dict[str, Any]:
    from app.features.reference import REFERENCE
    from app.models.training.folds import FoldPlan
    from app.models.training.mapped import read_history
    from app.models.training.prequential import measure_folds

    plan = FoldPlan(protocol=protocol, folds=folds, train_days=train_days, delay_days=delay_days)
    started_s = time.monotonic()
    with progress(json=json) as report:
        report(0.0, "reading the history")
        history = read_history(*source)
        said = measure_folds(history, REFERENCE, plan, seeds=seeds, report=report)
    return {
        "provenance": history.provenance,
        **said,
        "took_s": round(time.monotonic() - started_s, 1),
    }


def _numbers(text: str) -> list[int]:
    """Numbers with commas between.

    Raises:
        OperatorError: it is something else.
    """
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise OperatorError(f"seeds are whole numbers, such as 1,2,3, not {text!r}.") from None


def _history(folder: Path, mapping: Path | None) -> Path:
    """A folder with a finished history; said before the training libraries are loaded.

    Raises:
        OperatorError: it holds none, and no mapping says what else it is.
    """
    if mapping is not None:
        return folder
    if not (folder / "manifest.json").exists():
        raise OperatorError(f"{folder} holds no finished simulation; make one: stepdown simulate.")
    return folder


def _regions(home: Path) -> list[Path]:
    return sorted(home.glob("*/published"))
