"""The command that plays a history to a service and measures it: `play`."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.command_line import progress
from app.errors import OperatorError
from regions.world.errors import WorldError

if TYPE_CHECKING:
    from app.play.answers import Report

__all__ = ["play"]

PATIENT_MS = 1_000
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as the days of the command line are


def play(
    data: Annotated[
        Path, typer.Option(help="Parquet or CSV; without --mapping a simulated history.")
    ],
    warm_from: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d"], help="First day that is loaded; at least 45 before."),
    ],
    from_: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day posted.")
    ],
    to: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day posted.")],
    mapping: Annotated[Path | None, typer.Option(help="Which columns are what (YAML).")] = None,
    lockstep: Annotated[
        bool, typer.Option("--lockstep", help="Let every attempt wait for what came before it.")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=1.0, help="Attempts a second, without --lockstep.")
    ] = 200.0,
    deadline_ms: Annotated[
        int | None,
        typer.Option(
            min=20,
            max=1_000,
            help="Deadline of the service; 80, and 1000 in lockstep, where no score may be lost.",
        ),
    ] = None,
    home: Annotated[
        Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder whose model decides.")
    ] = Path(".stepdown"),
    plot: Annotated[Path | None, typer.Option(help="SVG file: precision over recall.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Play days of a history to a region of its own, and measure what it answers.

    The region runs in replay mode, in a folder of its own that is removed afterwards, on the ports
    of STEPDOWN_PORT_BASE. Labels are delivered on the day they arrive, also of attempts before.
    """
    from app.publish import current
    from app.registry import Registry

    models = Registry(home).folder / "model"
    version = current(models)  # said before the training libraries are loaded
    from app.features.sets import feature_set
    from app.models.artifact import load_artifact
    from app.models.training.mapped import read_history
    from app.play.answers import book_rows, offline_scores, report_of
    from app.play.pace import Pace
    from app.play.plot import write_plot
    from app.play.script import script_of
    from regions.play import play_to_own_region
    from regions.world.settings import load_settings

    artifact = load_artifact(models, version)
    pace = Pace(
        lockstep=lockstep, rate=rate, deadline_ms=deadline_ms or (PATIENT_MS if lockstep else 80)
    )
    with progress(json=json) as report:
        report(0.0, "reading the history")
        features = feature_set(artifact.facts.features)
        script = script_of(
            read_history(data, mapping),
            features,
            warm_from_day=(warm_from - EPOCH).days,
            from_day=(from_ - EPOCH).days,
            to_day=(to - EPOCH).days,
        )
        report(0.02, "scores offline")
        offline = offline_scores(script, features, artifact)
        try:
            answers, took_s = play_to_own_region(
                script,
                artifact,
                models=models,
                settings=load_settings(environ=os.environ, folder=Path.cwd()),
                pace=pace,
                report=lambda share, what: report(0.05 + 0.95 * share, what),
            )
        except WorldError as error:
            raise OperatorError(str(error)) from None
    result = report_of(script, answers, offline, pace=pace, took_s=took_s, model=artifact.version)
    if plot is not None:
        rows = book_rows(script)
        write_plot(
            plot,
            served=answers.served(rows),
            offline=offline[rows],
            fraud=script.history.fraud[rows],
            title=f"{data.name}, {from_:%Y-%m-%d} to {to:%Y-%m-%d}: {len(rows):,} attempts",
        )
    if json:
        typer.echo(msgspec.json.encode(result).decode())
    else:
        _show(result)


def _show(result: Report) -> None:
    table = Table(show_header=False, box=None)
    shares = ", ".join(f"{rung} {share:.2%}" for rung, share in result.rungs.items())
    agreed, latency = result.offline, result.latency_ms
    worst = "a row has no score" if agreed.worst is None else f"worst {agreed.worst:.2g}"
    for name, value in (
        ("average precision", f"{result.average_precision:.4f}"),
        ("  offline", f"{agreed.average_precision:.4f}"),
        ("ROC AUC", f"{result.roc_auc:.4f}"),
        ("card precision at 100", f"{result.card_precision_at_100:.4f}"),
        ("recall at precision 20 %", f"{result.recall_at_precision_20:.4f}"),
        ("evaluated", f"{result.rows:,} attempts, {result.fraud:,} fraud"),
        ("posted", f"{result.requests:,} attempts, {result.labels:,} labels"),
        ("failed", f"{result.failed:,} {result.failures or ''}"),
        ("rungs", shares),
        ("as offline", f"{agreed.exact:.3%} to 1e-6, {agreed.close:.3%} to .01, {worst}"),
        ("latency, ms", f"p50 {latency.p50}, p99 {latency.p99}, p99.9 {latency.p999}"),
        ("attempts a second", f"{result.attempts_per_second:,}"),
    ):
        table.add_row(f"[bold]{name}", value)
    Console().print(table)
