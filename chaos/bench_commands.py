"""Commands that measure: what a decision costs, what a model is worth beside its peers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from app.command_line import (
    DataOption,
    HomeOption,
    JsonOption,
    MappingOption,
    print_json,
    print_said,
    progress,
)
from app.errors import OperatorError
from app.features.names import FeatureSetName
from app.models.training.names import Protocol

__all__ = ["bench"]

bench = typer.Typer(no_args_is_help=True, help="Measure costs, and models beside their peers.")


@bench.command("write-side")
def write_side(
    features: Annotated[
        FeatureSetName, typer.Option(help="Feature set.")
    ] = FeatureSetName.REFERENCE,
    shards: Annotated[int, typer.Option(min=1, max=16, help="Of the store.")] = 1,
    batch: Annotated[int, typer.Option(min=1, max=512, help="Events a batch.")] = 512,
    decisions: Annotated[int, typer.Option(min=1_000, max=1_000_000, help="To count.")] = 20_000,
    json: JsonOption = False,
) -> None:
    """CPU of applier and datastore, traffic and memory for each decision that is counted.

    Starts datastores of its own, each with a replica.
    """
    from app.features.sets import feature_set
    from chaos.write_side import measure_write_side

    row = measure_write_side(feature_set(features), shards=shards, batch=batch, decisions=decisions)
    print_said(msgspec.to_builtins(row), json=json)


@bench.command("scorer")
def scorer(
    rate: Annotated[float, typer.Option(min=1, max=1_000, help="Attempts a second.")] = 100.0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long.")] = 20.0,
    home: Annotated[
        Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder of all state and logs.")
    ] = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """CPU of the scorers for each decision, in the service that 'stepdown up' started."""
    from chaos.scorer_side import measure_scorer_side
    from chaos.target import target_of

    target = target_of(home, rate)
    result = asyncio.run(
        measure_scorer_side(target.world, target.load, region=target.region, seconds=seconds)
    )
    print_said(msgspec.to_builtins(result), json=json)


@bench.command("cold-start")
def cold_start(
    data: DataOption = None,
    mapping: MappingOption = None,
    folds: Annotated[int, typer.Option(min=1, help="Test weeks, the last ones.")] = 3,
    train_days: Annotated[int, typer.Option(min=8, help="Training days of a fold.")] = 28,
    calibration_days: Annotated[
        int, typer.Option(min=2, help="Last training days, kept for choosing the peers' settings.")
    ] = 7,
    delay_days: Annotated[int, typer.Option(min=0, help="Days from training to test.")] = 7,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """CatBoost, XGBoost and LightGBM on merchants, devices and BINs that training never saw.

    The same rows, inputs and known labels for all. The peers are installed into an environment of
    their own, HOME/peers, the first time.
    """
    from app.features.reference import REFERENCE
    from app.models.training.folds import FoldPlan
    from app.models.training.mapped import read_history
    from app.registry import Registry
    from chaos.cold_start import measure_cold_start
    from chaos.peers import ensure_peers

    if calibration_days > train_days - 4:
        raise OperatorError("--calibration-days must leave 4 of the training days to fit on.")
    plan = FoldPlan(
        protocol=Protocol.PREQUENTIAL, folds=folds, train_days=train_days, delay_days=delay_days
    )
    where = data or Registry(home).data
    with progress(json=json) as report:
        report(0.0, "reading the history")
        history = read_history(where, mapping)
        peers = ensure_peers(home / "peers", lambda what: report(0.0, what))
        said = measure_cold_start(
            history, REFERENCE, plan, peers, calibration_days=calibration_days, report=report
        )
    said = {"provenance": history.provenance, **said}
    if json:
        print_json(said)
        return
    from chaos.cold_start_table import print_cold_start

    print_cold_start(said)
