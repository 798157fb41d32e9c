"""Commands that measure: what a decision costs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from app.command_line import JsonOption, print_said
from app.features.names import FeatureSetName

__all__ = ["bench"]

bench = typer.Typer(no_args_is_help=True, help="Measure what a decision costs.")


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
