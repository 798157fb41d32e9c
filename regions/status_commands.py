"""The command `status`."""

from __future__ import annotations

import typer
from rich.console import Console

from regions.terminal import (
    HomeOption,
    JsonOption,
    direct_of,
    print_json,
    settings_of,
    told_in_a_sentence,
)
from regions.world import display
from regions.world.control import World
from regions.world.errors import NotRunningError
from regions.world.home import Home
from regions.world.overview import Overview, look

__all__ = ["status"]


def status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show what is wrong, what each region serves and how fresh it sees the others.

    The exit code is 1 when any process is not ready.
    """
    with told_in_a_sentence(json=json):
        try:
            now = World.connect(settings_of(home).home).status()
        except NotRunningError:
            _show_nothing(json=json)
            raise typer.Exit(1) from None
        settings = settings_of(home)
        overview = look(Home(settings.home), now)
        direct, problems = direct_of(settings), overview.problems()
        if json:
            print_json(
                {
                    "running": True,
                    "problems": problems,
                    "processes": now.processes,
                    "regions": overview.regions,
                    "replicas": overview.replicas,
                    "links": overview.links,
                    "direct": direct,
                }
            )
        else:
            _show_overview(overview, problems, direct)
        if not now.ready:
            raise typer.Exit(1)


def _show_overview(overview: Overview, problems: list[str], direct: str | None) -> None:
    screen = Console()
    for problem in problems:
        screen.print(problem, style="red", markup=False, soft_wrap=True)
    if not problems:
        screen.print("everything is well.")
    several = len(overview.regions) > 1
    screen.print(display.rung_table(overview.regions))
    if several:
        screen.print(display.source_table(overview))
    if direct is not None:
        screen.print(direct, soft_wrap=True)
    if (agreement := display.agreement_table(overview.regions)) is not None:
        screen.print(agreement)
    if (exposure := display.exposure_table(overview.regions)) is not None:
        screen.print(exposure)
    shown = display.process_matrix if several else display.process_table
    screen.print(shown(overview.status))


def _show_nothing(*, json: bool) -> None:
    if json:
        print_json({"running": False, "processes": [], "regions": {}})
    else:
        Console().print("nothing is running; 'stepdown up' starts it.")
