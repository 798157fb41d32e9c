"""Commands that measure: what a decision costs, what a model is worth beside its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from chaos.bench.cost_commands import cost, page, sizes
from chaos.bench.estimate_commands import estimate

if TYPE_CHECKING:
    from chaos.bench.region import BenchRegion

__all__ = ["bench"]

SecondsOption = Annotated[float, typer.Option(min=1, max=600, help="Of each part.")]
OneRowOption = Annotated[str, typer.Option(help="What to bring up: a row of `hot`.")]
ConnectionsOption = Annotated[int, typer.Option(min=1, max=512, help="Of the closed loop.")]
PlotOption = Annotated[Path | None, typer.Option(help="SVG file to draw.")]

bench = typer.Typer(no_args_is_help=True, help="Measure costs, and models beside their peers.")
bench.command("sizes")(sizes)
bench.command("cost")(cost)
bench.command("page")(page)
bench.command("estimate")(estimate)


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
    from chaos.bench.write_side import measure_write_side

    row = measure_write_side(feature_set(features), shards=shards, batch=batch, decisions=decisions)
    print_said(msgspec.to_builtins(row), json=json)


@bench.command("hot")
def hot(
    row: Annotated[
        list[str] | None,
        typer.Option(help="To measure, may be repeated; full by default."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Measure every row.")] = False,
    peers: Annotated[
        bool, typer.Option("--peers", help="And FastAPI, MLServer and BentoML with the model.")
    ] = False,
    seconds: SecondsOption = 5.0,
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="In which row, floor and peers take turns.")
    ] = 1,
    connections: ConnectionsOption = 32,
    plot: PlotOption = None,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """CPU and latency of a decision, row by row, beside the floor.

    Starts a region of its own for each shape of row: the scorer, one worker, has the first core to
    itself; datastores, all other processes and the generator share the others. Where others share
    the machine its speed changes: with more rounds what is compared is closer in time.
    """
    from app.bootstrap import ensure_published
    from app.features.reference import REFERENCE
    from chaos.bench.hot import measure_hot
    from chaos.bench.peers import Served, measure_peers, peers_served
    from chaos.bench.plot import plot_rows
    from chaos.bench.region import PEERS_PORT, PORT_OFFSET
    from chaos.bench.rows import ROWS
    from chaos.bench.table import print_hot
    from chaos.target import settings_of

    names = list(ROWS) if every else row or ["full"]
    _known(names)
    settings = settings_of(home)
    with progress(json=json) as report, ExitStack() as running:
        beside = Served()
        if peers:
            # They score the model that the rows are about to be measured with.
            ensure_published(home, settings.regions[0], REFERENCE, report)
            beside = running.enter_context(
                peers_served(
                    home,
                    home / settings.regions[0] / "published" / "model",
                    port=settings.port_base + PORT_OFFSET + PEERS_PORT,
                    report=lambda what: report(0.0, what),
                )
            )
        said = measure_hot(
            home,
            [ROWS[name] for name in names],
            settings,
            seconds=seconds,
            rounds=rounds,
            connections=connections,
            peers=beside.serving,
            report=report,
        )
        said["peers"] = []
        if peers:
            said["peers"] = measure_peers(
                beside, seconds=seconds, connections=connections, report=report
            )
    if plot is not None:
        plot_rows(plot, said["rows"], said["peers"])
    print_json(_dated(said)) if json else print_hot(said)


@bench.command("overload")
def overload(
    seconds: Annotated[float, typer.Option(min=2, max=600, help="Of overload.")] = 20.0,
    calm_seconds: Annotated[
        float, typer.Option(min=2, max=600, help="Before and after it.")
    ] = 10.0,
    calm: Annotated[
        float, typer.Option(min=0.05, max=1, help="Rate before and after, of saturation.")
    ] = 1.0,
    peak: Annotated[float, typer.Option(min=1, max=10, help="Rate of the overload.")] = 3.0,
    row: OneRowOption = "full",
    connections: ConnectionsOption = 32,
    plot: PlotOption = None,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Three times what the scorer can do, and back: errors, lateness, rungs, seconds until full."""
    from chaos.bench.overload import measure_overload
    from chaos.bench.plot import plot_rungs
    from chaos.bench.table import print_overload

    with progress(json=json) as report, _region(home, report, row) as region:
        said = measure_overload(
            region,
            seconds=seconds,
            calm_seconds=calm_seconds,
            calm=calm,
            peak=peak,
            connections=connections,
            report=report,
        )
    if plot is not None:
        title = f"Rungs at {calm:g}, {peak:g} and {calm:g} times saturation"
        plot_rungs(plot, said["rungs_by_second"], title)
    print_json(_dated(said)) if json else print_overload(said)


@bench.command("deadlines")
def deadlines(
    deadline: Annotated[
        list[int] | None,
        typer.Option(min=20, max=100, help="X-Deadline-Ms, may be repeated; 20, 40 and 80."),
    ] = None,
    load: Annotated[float, typer.Option(min=0.05, max=3, help="Rate, of saturation.")] = 0.8,
    seconds: SecondsOption = 5.0,
    row: OneRowOption = "full",
    connections: ConnectionsOption = 32,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """What callers get who ask for shorter deadlines, under load: in time, and from which rung."""
    from chaos.bench.deadlines import measure_deadlines
    from chaos.bench.table import print_deadlines

    with progress(json=json) as report, _region(home, report, row) as region:
        rate, found = measure_deadlines(
            region,
            deadline or (20, 40, 80),
            load=load,
            seconds=seconds,
            connections=connections,
            report=report,
        )
    if json:
        print_json(_dated({"rate": round(rate, 1), "rows": found}))
    else:
        print_deadlines(rate, found)


@bench.command("soak")
def soak(
    requests: Annotated[
        int, typer.Option(min=1_000, max=100_000_000, help="To send at least.")
    ] = 300_000,
    connections: ConnectionsOption = 32,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Memory and descriptors of the scorer over many requests: what grows after the warm-up?"""
    from chaos.bench.soak import measure_soak

    with progress(json=json) as report, _region(home, report) as region:
        found = msgspec.to_builtins(
            measure_soak(region, requests, connections=connections, report=report)
        )
    if not json:
        del found["samples"]
    print_said(_dated(found), json=json)


def _dated(said: Mapping[str, Any]) -> dict[str, Any]:
    """A result with the day that it is of: it is kept."""
    return {"measured_on": datetime.now(UTC).date().isoformat(), **said}


@contextmanager
def _region(
    home: Path, report: Callable[[float, str], None], row: str = "full"
) -> Iterator[BenchRegion]:
    """A region of this home's models, as a row has it.

    Raises:
        OperatorError: there is no such row.
    """
    from chaos.bench.hot import base_of
    from chaos.bench.region import bench_region
    from chaos.bench.rows import ROWS, prepared
    from chaos.target import settings_of

    _known([row])
    shape = ROWS[row].shape
    report(0.0, "bringing a region up")
    with (
        bench_region(base_of(home, shape), shape, settings_of(home)) as region,
        prepared(region, ROWS[row]),
    ):
        yield region


def _known(rows: Sequence[str]) -> None:
    from chaos.bench.rows import ROWS

    if unknown := [name for name in rows if name not in ROWS]:
        raise OperatorError(f"there is no row {unknown[0]!r}; there are {', '.join(ROWS)}.")


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
    from chaos.bench.cold_start import measure_cold_start
    from chaos.bench.cold_start_peers import ensure_peers

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
    from chaos.bench.cold_start_table import print_cold_start

    print_cold_start(said)
