"""Commands for models beside the one in force: `models list`, `shadow` and `withdraw`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.command_line import HomeOption, JsonOption, print_json, print_said
from app.errors import OperatorError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Models beside the one that decides.")

RegionOption = Annotated[
    list[str] | None, typer.Option(help="Region, repeatable; every region of HOME by default.")
]


@app.command("list")
def list_models(home: HomeOption = Path(".stepdown"), json: JsonOption = False) -> None:
    """Show the trained versions, newest first, and where each decides or is in shadow."""
    from app.manifest import read_manifest
    from app.registry import Registry

    folder = Registry(home).folder / "model"
    used = {
        kind: {path.parent.name: _in_force(path / kind) for path in _published(home, None)}
        for kind in ("model", "shadow")
    }
    versions = (folder / "versions").glob("[0-9a-f]*")
    found: list[dict[str, Any]] = [
        {
            "version": path.name,
            "identity": read_manifest(folder, path.name)[0].facts["identity"],
            "decides": [where for where, held in used["model"].items() if held == path.name],
            "shadow": [where for where, held in used["shadow"].items() if held == path.name],
        }
        for path in sorted(versions, key=lambda path: path.stat().st_mtime, reverse=True)
    ]
    if json:
        print_json({"models": found})
        return
    table = Table("version", "identity", "decides in", "in shadow in")
    for one in found:
        where = (", ".join(one[use]) for use in ("decides", "shadow"))
        table.add_row(one["version"], one["identity"], *where)
    Console().print(table)


@app.command()
def shadow(
    version: Annotated[str, typer.Argument(help="Of a trained model; see 'stepdown models list'.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Home folder in which it was trained; HOME by default."),
    ] = None,
    home: HomeOption = Path(".stepdown"),
    region: RegionOption = None,
    json: JsonOption = False,
) -> None:
    """Put a model in shadow: it scores a share of live traffic, and decides nothing.

    Running scorers follow within a second; 'stepdown status' shows how often it decides as live.
    """
    from app.models.artifact import load_artifact
    from app.publish import adopt
    from app.registry import Registry

    trained = Registry(source or home).folder / "model"
    folders = _published(home, region)
    artifact = load_artifact(trained, version)
    for folder in folders:
        adopt(trained, folder / "shadow", version)
    said = {
        "version": version,
        "provenance": artifact.facts.provenance,
        "shadow": [folder.parent.name for folder in folders],
    }
    print_said(said, json=json)


@app.command()
def withdraw(
    home: HomeOption = Path(".stepdown"), region: RegionOption = None, json: JsonOption = False
) -> None:
    """Take the model in shadow out; running scorers follow within a second."""
    from app.publish import withdraw as take_out

    folders = [path for path in _published(home, region) if _in_force(path / "shadow")]
    if not folders:
        raise OperatorError("no model is in shadow.")
    for folder in folders:
        take_out(folder / "shadow")
    print_said({"withdrawn": [folder.parent.name for folder in folders]}, json=json)


def _published(home: Path, regions: list[str] | None) -> list[Path]:
    """What is published in each region.

    Raises:
        OperatorError: a region has nothing published.
    """
    if not regions:
        found = sorted(home.glob("*/published"))
        if not found:
            raise OperatorError(f"{home} has no region; see 'stepdown up'.")
        return found
    for region in regions:
        if not (home / region / "published").is_dir():
            raise OperatorError(f"{home} has no region {region!r}.")
    return [home / region / "published" for region in regions]


def _in_force(folder: Path) -> str | None:
    """The version in force; None for none."""
    from app.publish import CURRENT, current

    return current(folder) if (folder / CURRENT).exists() else None
