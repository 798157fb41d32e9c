"""Commands that bring history to where it is counted: `features backfill`, `history import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console

if TYPE_CHECKING:
    from app.settings import ScorerSettings

__all__ = ["backfill", "import_"]

HomeOption = Annotated[Path | None, typer.Option(help="Folder of all state and logs.")]
RegionOption = Annotated[str | None, typer.Option(help="Region whose history it is.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def backfill(
    store: Annotated[
        str | None,
        typer.Option(
            help="Servers to fill, one a shard: host:port|host:port; the region's own by default."
        ),
    ] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Clear a store that is in use first.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Build the counters of an empty store from history; the applier goes on from there.

    A run that was cut short is taken up where it stopped: give the same command again.
    """
    import time

    from app.features.backfill import backfill as run
    from app.streams.connection import connect

    settings = _settings(store=store, home=home, region=region)
    password = settings.datastore_password()
    shards = [
        connect(address, password, name="stepdown-backfill", timeout_s=10.0)
        for address in settings.store_shards()
    ]
    try:
        with Console(stderr=True).status("") as status:
            done = run(
                settings.region_folder / "history",
                shards,
                settings.feature_set,
                now_ms=time.time_ns() // 1_000_000,
                replace=replace,
                report=lambda share, what: status.update(f"{share:.0%} {what}"),
            )
    finally:
        for client in shards:
            client.close()
    events = sum(one.events for one in done)
    took_s = sum(one.took_s for one in done)
    if json:
        typer.echo(msgspec.json.encode({"events": events, "took_s": took_s, "shards": done}))
        return
    values, rate = sum(one.values for one in done), events / max(took_s, 1e-3)
    typer.echo(f"{values:,} values of {events:,} events, {rate:,.0f} a second")


def import_(
    data: Annotated[Path, typer.Argument(help="Simulated history, or with --mapping any data.")],
    tenant: Annotated[str, typer.Option(help="Whose attempts they are.")],
    mapping: Annotated[Path | None, typer.Option(help="Which columns are what (YAML).")] = None,
    home: HomeOption = None,
    region: RegionOption = None,
    json: JsonOption = False,
) -> None:
    """Take attempts and fraud labels from before the first decision into history."""
    from app.history.imported import import_history
    from app.models.training.mapped import read_history
    from regions.topology import load_topology

    settings = _settings(home=home, region=region)
    with Console(stderr=True).status("reading") as status:
        imported = import_history(
            read_history(data, mapping),
            settings.region_folder / "history",
            tenant=tenant,
            region=load_topology().region(settings.region).number,
            report=lambda share, what: status.update(f"{share:.0%} {what}"),
        )
    if json:
        typer.echo(msgspec.json.encode(imported))
    else:
        typer.echo(f"{imported.decisions:,} attempts and {imported.effects:,} labels imported")


def _settings(**given: str | Path | None) -> ScorerSettings:
    """The settings, but for what the command line says otherwise."""
    from app.settings import load

    said = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(load(), **said)
