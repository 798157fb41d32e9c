"""The command that measures what each rung costs: `prices`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from app.command_line import JsonOption, print_json, progress
from app.errors import OperatorError
from app.models.training.names import Protocol

if TYPE_CHECKING:
    from app.models.training.fitting import TrainSettings
    from app.models.training.history import History
    from app.models.training.price_list import Priced, PriceList

__all__ = ["prices"]

SEEDS = [1, 2, 3]
SECTIONS = ("prices", "patterns")

Report = Callable[[float, str], None]


def prices(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a simulated history; without it what a first start simulates."
        ),
    ] = None,
    public: Annotated[
        Path | None, typer.Option(help="Parquet or CSV to measure beside it, with --mapping.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option(help="File that says what the columns of --public are.")
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(help="The week of --public: the book's first one, or the last."),
    ] = Protocol.BOOK,
    ablate: Annotated[
        bool,
        typer.Option("--ablate", help="Measure full models that lack streaming inputs, too."),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE",
            help="Page whose sections `prices` and `patterns` to write; the figures go to "
            "docs/results beside it.",
        ),
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Measure nothing: take figures kept before."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure what stepping down costs: fraud let through, good payments stopped, by rung.

    Models are trained for it and thrown away. The simulation is measured on its last week.
    """
    from app.marked_section import read_section, write_section
    from app.models.training.price_list import load_price_list
    from app.models.training.price_tables import print_price_list, sections

    if (public is None) != (mapping is None):
        raise OperatorError("--mapping says what the columns of --public are; give both.")
    if write is not None:
        for name in SECTIONS:  # what is wrong is said before anything is measured
            read_section(write, name)
    if kept is not None:
        found = load_price_list(kept)
    else:
        with progress(json=json) as report:
            found = _measured(data, public, mapping, protocol, ablate=ablate, report=report)
    if write is not None:
        if kept is None:
            _keep(write.parent / "docs" / "results" / "prices.json", found)
        for name, body in sections(found).items():
            write_section(write, name, body)
    if json:
        print_json(found)
    else:
        print_price_list(found)


def _measured(
    data: Path | None,
    public: Path | None,
    mapping: Path | None,
    protocol: Protocol,
    *,
    ablate: bool,
    report: Report,
) -> PriceList:
    from app.features.reference import REFERENCE
    from app.models.training.folds import FoldPlan
    from app.models.training.mapped import read_history
    from app.models.training.price_list import PriceList, priced_by_folds, priced_last_week

    share = 1.0 if public is None else 0.4
    # First, so that whatever is wrong with it is said before anything is computed.
    own = None if public is None else read_history(public, mapping)
    history, settings = _simulated(data, report)
    priced: list[Priced] = [
        priced_last_week(
            history,
            REFERENCE,
            settings,
            ablate=ablate,
            report=lambda done, what: report(share * done, f"simulation: {what}"),
        )
    ]
    if own is not None:
        priced.append(
            priced_by_folds(
                own,
                REFERENCE,
                FoldPlan(protocol=protocol, folds=1),
                seeds=SEEDS,
                report=lambda done, what: report(share + (1 - share) * done, f"public: {what}"),
            )
        )
    return PriceList(measured_on=datetime.now(UTC).date(), priced=priced)


def _simulated(data: Path | None, report: Report) -> tuple[History, TrainSettings]:
    """The history, and how `train` or a first start trains on it."""
    from app.models.training.fitting import TrainSettings
    from app.models.training.history import load_history
    from app.models.training.release import FIRST_ATTEMPTS, FIRST_SETTINGS, SEED
    from app.simulator.config import SimulatorConfig
    from app.simulator.generate import simulate

    if data is not None:
        return load_history(data), TrainSettings()
    report(0.0, "simulation: making it")
    with tempfile.TemporaryDirectory() as folder:
        simulate(SimulatorConfig(seed=SEED, attempts=FIRST_ATTEMPTS), Path(folder))
        return load_history(Path(folder)), FIRST_SETTINGS


def _keep(path: Path, found: PriceList) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
