"""The commands that run the service on this machine: `up`, `down`, `status`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from regions.operations.commands import regions
from regions.play_commands import play
from regions.status_commands import status
from regions.terminal import (
    HomeOption,
    JsonOption,
    direct_of,
    print_json,
    settings_of,
    told_in_a_sentence,
)
from regions.topology import Topology, load_topology
from regions.world import display
from regions.world.control import World, WorldStatus
from regions.world.embedded import embedded_plan
from regions.world.errors import NotRunningError, SettingsError, WorldError
from regions.world.home import Home
from regions.world.lifecycle import bring_down, check_ports, claim, wait_until_ready
from regions.world.overview import Overview, look
from regions.world.settings import WorldSettings

__all__ = ["app"]

_READY_TIMEOUT_S = 60.0
_SERVED_TIMEOUT_S = 15.0
_POLL_S = 0.2

app = typer.Typer(no_args_is_help=True, help="Run the service on this machine.")
app.command()(play)
app.command()(status)
app.add_typer(regions, name="regions")


@app.command()
def up(
    home: HomeOption = None,
    regions: Annotated[
        int | None,
        typer.Option(
            min=1, max=3, help="How many regions to run; all that the settings name by default."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Bring the service up, post a few payment attempts, and show the decisions.

    The first run trains a model on simulated data, which takes a while.
    When everything runs already, only the attempts are posted.
    """
    with told_in_a_sentence(json=json):
        screen = Console(stderr=json)
        settings = settings_of(home, regions)
        already = _is_running(settings)
        if already:
            settings = _as_running(settings, regions)
            screen.print("the service was started before.")
            _publish(settings, screen)
            now = _wait(World(settings.home), screen)
        else:
            now = _start(settings, load_topology(), screen)
        overview = _served(settings, now)
        places = [_places(region, settings, now) for region in now.regions]
        samples = _post_samples(places[0], settings, screen)
        for place in places:
            _show_places(place, screen)
        if (direct := direct_of(settings)) is not None:
            screen.print(direct, soft_wrap=True)
        if json:
            print_json(
                {
                    "already_running": already,
                    "regions": places,
                    "processes": now.processes,
                    "samples": samples,
                    "links": overview.links,
                    "direct": direct,
                }
            )


@app.command()
def down(home: HomeOption = None, json: JsonOption = False) -> None:
    """Stop everything that `up` started. Harmless when nothing runs; state is kept."""
    with told_in_a_sentence(json=json):
        said = bring_down(settings_of(home).home)
        if json:
            print_json({"said": said})
            return
        for sentence in said:
            Console().print(sentence, soft_wrap=True)


def _as_running(settings: WorldSettings, regions: int | None) -> WorldSettings:
    """The settings with the regions that run.

    Raises:
        SettingsError: others were asked for.
    """
    running = World(settings.home).status().regions
    if regions is not None and settings.regions != running:
        raise SettingsError(
            f"{', '.join(running)} run already; for another number of regions stop them first, "
            "with 'stepdown down'."
        )
    return replace(settings, regions=running)


def _is_running(settings: WorldSettings) -> bool:
    try:
        World.connect(settings.home)
    except NotRunningError:
        return False
    return True


def _start(settings: WorldSettings, topology: Topology, screen: Console) -> WorldStatus:
    """Everything from an empty machine to all processes ready; undone when that fails."""
    with claim(settings.home) as claimed:
        cleaned = claimed.clean_up()
        if cleaned:
            screen.print(cleaned)
        plan = embedded_plan(settings, topology)
        check_ports(plan)
        screen.print("making sure that a model is published ...")
        _publish(settings, screen)
        screen.print("starting the processes ...")
        world = claimed.launch(plan)
    try:
        return _wait(world, screen)
    except (WorldError, KeyboardInterrupt):
        bring_down(settings.home)
        raise


def _publish(settings: WorldSettings, screen: Console) -> None:
    """Have a model published in every region, with a progress bar while one is made."""
    from app.bootstrap import ensure_published
    from app.features.sets import feature_set

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        for region in settings.regions:
            task = progress.add_task(region, total=1.0)

            def report(done: float, what: str, *, task: TaskID = task) -> None:
                progress.update(task, completed=done, description=what)

            ensure_published(settings.home, region, feature_set(settings.features), report)


def _wait(world: World, screen: Console) -> WorldStatus:
    first = world.status()
    shown = display.process_matrix if len(first.regions) > 1 else display.process_table
    with Live(
        shown(first), console=screen, auto_refresh=False, transient=not screen.is_terminal
    ) as live:
        return wait_until_ready(
            world,
            timeout_s=_READY_TIMEOUT_S,
            on_status=lambda now: live.update(shown(now), refresh=True),
        )


def _served(settings: WorldSettings, now: WorldStatus) -> Overview:
    """Wait, for a while, until every region reads every source, as the first answers should."""
    end_s = time.monotonic() + _SERVED_TIMEOUT_S
    while True:
        overview = look(Home(settings.home), now)
        sources = [(said or {}).get("sources") for said in overview.regions.values()]
        if all(own and not any(own.values()) for own in sources) or time.monotonic() > end_s:
            return overview
        time.sleep(_POLL_S)


def _post_samples(
    place: dict[str, str], settings: WorldSettings, screen: Console
) -> list[dict[str, Any]]:
    """Post the sample attempts to a region, and show the decisions."""
    from app.samples import post_samples

    decided = post_samples(place["api"], settings.home)
    screen.print(display.decision_table(decided))
    return [{"region": place["region"], **sample} for sample in decided]


def _places(region: str, settings: WorldSettings, now: WorldStatus) -> dict[str, str]:
    """Where a running region's API, documentation, operations page and logs are."""
    host = settings.connect_host
    bracketed = f"[{host}]" if ":" in host else host
    api = f"http://{bracketed}:{now.port(f'{region}/scorer')}"
    return {
        "region": region,
        "api": api,
        "docs": f"{api}/docs",
        "operations": f"http://127.0.0.1:{now.port(f'{region}/operations')}/readyz",
        "logs": str(Home(settings.home).log(region, "scorer").parent),
    }


def _show_places(place: dict[str, str], screen: Console) -> None:
    for name, where in place.items():
        screen.print(f"{name:>10}  {where}", soft_wrap=True)
