"""Commands of the feature layer: what is counted, looked at, checked and built."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from app.command_line import (
    DataOption,
    HomeOption,
    JsonOption,
    MappingOption,
    print_json,
    progress,
)
from app.errors import OperatorError
from app.features.backfill_commands import backfill
from app.features.build_commands import snapshot
from app.features.merchant_commands import merchants
from app.features.names import FeatureSetName
from app.features.screens import print_explained, print_parity, print_windows

if TYPE_CHECKING:
    from app.models.training.history import History

__all__ = ["app"]

app = typer.Typer()
features = typer.Typer(
    help="What is counted: look at it, and hold it to history and to exact windows.",
    no_args_is_help=True,
)
app.add_typer(features, name="features")
features.command("snapshot")(snapshot)
features.command("backfill")(backfill)
features.command("merchants")(merchants)


FeaturesOption = Annotated[FeatureSetName, typer.Option(help="Feature set.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Same seed, same figures.")]


@features.command()
def parity(
    events: Annotated[int, typer.Option(min=1, help="Attempts to compare at most.")] = 200_000,
    data: DataOption = None,
    mapping: MappingOption = None,
    features: FeaturesOption = FeatureSetName.REFERENCE,
    shards: Annotated[int, typer.Option(min=1, max=16, help="Of each region's store.")] = 2,
    seed: SeedOption = 7,
    served: Annotated[
        bool, typer.Option("--served", help="Compare what the regions of HOME have served.")
    ] = False,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Compute features in SQL as of the positions recorded, and compare them with what was served.

    By default a rehearsal: a history is played through the serving code, real datastores and
    journals included. Exit code 1 if one value differs.
    """
    if served and (data or mapping):
        raise OperatorError(
            "--served takes what is in HOME; --data and --mapping are for rehearsals."
        )
    from app.features.parity import served_parity
    from app.features.sets import feature_set

    chosen = feature_set(features)
    with progress(json=json) as report:
        if served:
            result = served_parity(home, chosen, newest=events, report=report)
        else:
            from app.features.rehearsal import rehearse

            history = _history(home, data, mapping, lambda share, what: report(0.1 * share, what))
            with tempfile.TemporaryDirectory(prefix="stepdown-") as folder:
                rehearse(
                    history,
                    chosen,
                    Path(folder),
                    events=events,
                    shards=shards,
                    seed=seed,
                    report=lambda share, what: report(0.1 + 0.4 * share, what),
                )
                result = served_parity(
                    Path(folder),
                    chosen,
                    newest=events,
                    report=lambda share, what: report(0.5 + 0.5 * share, what),
                )
    if json:
        print_json(result)
    else:
        print_parity(result)
    if result.mismatches:
        raise typer.Exit(1)


@features.command()
def windows(
    data: DataOption = None,
    mapping: MappingOption = None,
    seed: SeedOption = 7,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Measure rings against exact windows, on a history and on bursts."""
    from app.features.window_error import velocity, window_errors

    with progress(json=json) as report:
        history = _history(home, data, mapping, lambda share, what: report(0.5 * share, what))
        report(0.5, "windows of a history")
        errors = list(window_errors(history, seed=seed))
        report(0.9, "bursts")
        bursts = velocity(seed=seed)
    if json:
        print_json({"windows": errors, "velocity": bursts})
    else:
        print_windows(errors, bursts)


@features.command()
def docs(
    features: FeaturesOption = FeatureSetName.REFERENCE,
    out: Annotated[
        Path | None, typer.Option(help="File to write; standard output by default.")
    ] = None,
) -> None:
    """Write the reference page of a feature set, in Markdown."""
    from app.features.reference_page import reference_page
    from app.features.sets import feature_set

    page = reference_page(feature_set(features))
    if out is None:
        typer.echo(page, nl=False)
        return
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{out} cannot be written: {error.strerror}.") from None


@features.command()
def explain(
    entity: Annotated[str, typer.Argument(help="card, merchant, device and such.")],
    id: Annotated[str, typer.Argument(help="Its id, as attempts have it.")],
    tenant: Annotated[str, typer.Option(help="Whose it is.")] = "demo",
    home: Annotated[
        Path | None, typer.Option(help="Folder of all state and logs; by default as set.")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Region whose snapshot is read; by default as set.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show what is counted of an entity now: by region, merged, and in the snapshot."""
    from app.features.explained import entity_of
    from app.features.explained import explain as read
    from app.settings import ScorerSettings, load

    settings = load()
    settings = msgspec.structs.replace(
        settings, home=home or settings.home, region=region or settings.region
    )
    if settings.sources == ScorerSettings().sources and settings.sources_file.exists():
        sources = settings.sources_file.read_text("ascii")
        settings = msgspec.structs.replace(settings, sources=sources)
    # The embedded datastores' password is in the home that their settings name.
    embedded = settings.home / "secrets" / "datastore"
    if not settings.datastore_password_file and embedded.exists():
        settings = msgspec.structs.replace(settings, datastore_password_file=str(embedded))
    explained = read(settings, entity_of(entity, settings.feature_set), id, tenant=tenant)
    if json:
        print_json(explained)
    else:
        print_explained(explained)


def _history(
    home: Path, data: Path | None, mapping: Path | None, report: Callable[[float, str], None]
) -> History:
    """A history to measure on; where the home has none, one is simulated into it."""
    from app.models.training.mapped import read_history
    from app.registry import Registry

    if mapping is not None and data is None:
        raise OperatorError("--mapping says what the columns of --data are; give both.")
    folder = data or Registry(home).data
    if data is None and not (folder / "manifest.json").exists():
        from app.simulator.config import SimulatorConfig
        from app.simulator.generate import simulate

        try:
            simulate(SimulatorConfig(), folder, progress=report)
        except FileExistsError:
            raise OperatorError(f"{folder} holds no finished simulation; move it away.") from None
    report(1.0, "reading the history")
    return read_history(folder, mapping)
