"""What the commands of the local world share: options, settings, errors, one JSON object."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from regions.topology import TopologyError, load_topology
from regions.world.errors import NotReadyError, WorldError
from regions.world.home import Home
from regions.world.network import direct_because, toxiproxy_binary
from regions.world.plan import Plan
from regions.world.settings import WorldSettings, load_settings

__all__ = [
    "HomeOption",
    "JsonOption",
    "direct_of",
    "print_json",
    "settings_of",
    "told_in_a_sentence",
]

HomeOption = Annotated[
    Path | None,
    typer.Option(help="Folder of all state and logs; STEPDOWN_HOME, else .stepdown."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@contextlib.contextmanager
def told_in_a_sentence(*, json: bool) -> Iterator[None]:
    """End with exit code 2 and one sentence for whatever is expected to go wrong."""
    try:
        yield
    except (WorldError, TopologyError) as error:
        if json:
            print_json({"error": str(error)})
        screen = Console(stderr=True, highlight=False)
        screen.print(f"stepdown: {error}", style="red", markup=False, soft_wrap=True)
        for line in error.log_tail if isinstance(error, NotReadyError) else ():
            screen.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def settings_of(home: Path | None, regions: int | None = None) -> WorldSettings:
    """The settings, with the first so many regions of the topology where that is asked for."""
    settings = load_settings(environ=os.environ, folder=Path.cwd(), home=home)
    if regions is None:
        return settings
    return replace(settings, regions=tuple(load_topology().regions)[:regions])


def direct_of(settings: WorldSettings) -> str | None:
    """Why the links between the regions have no latency; None where they have."""
    return direct_because(
        msgspec.json.decode(Home(settings.home).plan.read_bytes(), type=Plan),
        installed=toxiproxy_binary() is not None,
        wanted=settings.network == "proxies",
    )


def print_json(what: dict[str, Any]) -> None:
    """Print one JSON object."""
    typer.echo(msgspec.json.encode(what).decode())
