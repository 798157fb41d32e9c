"""Commands of the scorer and its models: `decide`, `keys`, `simulate`, `train`, `evaluate`."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.command_line import (
    DataOption,
    HomeOption,
    JsonOption,
    MappingOption,
    print_json,
    print_said,
    progress,
)
from app.decide_commands import decide
from app.errors import OperatorError
from app.features.names import FeatureSetName
from app.model_commands import app as models
from app.models.training.names import Protocol
from app.price_commands import prices

__all__ = ["app"]

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="API keys; running scorers follow within a second.")
app.add_typer(keys, name="keys")
app.add_typer(models, name="models")
app.command()(prices)
app.command()(decide)


@app.command()
def simulate(
    attempts: Annotated[int, typer.Option(min=1_000, help="About how many.")] = 1_000_000,
    days: Annotated[int, typer.Option(min=1, help="Over how many days.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same attempts.")] = 7,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; HOME/data by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a simulation that is there.")] = False,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="Share of a pattern in the fraud, repeatable; the others keep their proportions.",
        ),
    ] = None,
    fraud_share: Annotated[
        float, typer.Option(min=0, max=0.2, help="Share of fraud in the attempts.")
    ] = 0.004,
    newcomers: Annotated[
        bool,
        typer.Option(
            "--newcomers",
            help="Fraud reaches merchants and customers that were not there on the first day, and "
            "issuers launch number ranges.",
        ),
    ] = False,
    new_pattern_from: Annotated[
        int | None,
        typer.Option(
            metavar="DAY", help="Day, counted from 1, on which an unknown pattern begins."
        ),
    ] = None,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Simulate payment attempts with fraud, outcomes and late labels, as Parquet."""
    from app.simulator.config import PatternMix, SimulatorConfig
    from app.simulator.generate import simulate as run

    folder = out or home / "data"
    if overwrite and (folder / "manifest.json").exists():
        shutil.rmtree(folder)
    started_s = time.monotonic()
    try:
        config = SimulatorConfig(
            seed=seed,
            days=days,
            attempts=attempts,
            patterns=PatternMix().with_shares(_shares(pattern or [])),
            new_pattern_from=new_pattern_from,
            fraud_share=fraud_share,
            newcomers=newcomers,
        )
        with progress(json=json) as report:
            summary = run(config, folder, progress=report)
    except FileExistsError:
        raise OperatorError(f"{folder} is not empty; add --overwrite, or choose --out.") from None
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    said = {
        "folder": str(summary.folder),
        "attempts": summary.attempts,
        "fraud_rate": summary.fraud_rate,
        "fraud": summary.fraud,
        "labels": summary.labels,
        "outcomes": summary.outcomes,
        "merchants": summary.merchants,
        "took_s": round(time.monotonic() - started_s, 1),
    }
    print_said(said, json=json)


@app.command()
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


@app.command()
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


@keys.command("add")
def add_key(
    tenant: Annotated[str, typer.Argument(help="Whose key it is; part of every counter's key.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="decide, outcome, label, read or operate, repeatable; decide by default."
        ),
    ] = None,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Make a key and print it: the only time it is seen."""
    from app.api.auth import Scope
    from app.api.auth import add_key as add

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", tenant):
        raise OperatorError("a tenant is 1 to 32 of a-z, 0-9, - and _.")
    try:
        scopes = [Scope(name) for name in scope or ["decide"]]
        key = add(home / "keys.json", tenant=tenant, scopes=scopes)
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    if json:
        print_json({"key": key, "tenant": tenant, "scopes": scopes})
    else:
        typer.echo(key)


@keys.command("list")
def list_keys(home: HomeOption = Path(".stepdown"), json: JsonOption = False) -> None:
    """Show the keys in force, without their secrets."""
    from app.api.auth import kept_keys

    try:
        kept = kept_keys(home / "keys.json")
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    if json:
        print_json({"keys": [{"id": k.id, "tenant": k.tenant, "scopes": k.scopes} for k in kept]})
        return
    table = Table("id", "tenant", "scopes")
    for key in kept:
        table.add_row(key.id, key.tenant, ", ".join(key.scopes))
    Console().print(table)


@keys.command("revoke")
def revoke_key(
    id: Annotated[str, typer.Argument(help="Of the key; see 'stepdown keys list'.")],
    home: HomeOption = Path(".stepdown"),
) -> None:
    """Take a key out of force."""
    from app.api.auth import revoke_key as revoke

    try:
        known = revoke(home / "keys.json", id)
    except ValueError as error:
        raise OperatorError(f"{error}.") from None
    if not known:
        raise OperatorError(f"there is no key {id!r}; see 'stepdown keys list'.")
    typer.echo(f"{id} is out of force within a second.")


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


def _shares(said: list[str]) -> dict[str, float]:
    """Shares by pattern, from NAME=SHARE."""
    shares = {}
    for one in said:
        name, _, share = one.partition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            raise OperatorError(f"{one!r} is not NAME=SHARE, as in card_testing=0.3.") from None
    return shares


def _regions(home: Path) -> list[Path]:
    return sorted(home.glob("*/published"))
