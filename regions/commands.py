"""The commands that run the service on this machine: `up`, `down`, `status`."""

from __future__ import annotations

import contextlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from regions.operations.commands import regions
from regions.play_commands import play
from regions.topology import Topology, TopologyError, load_topology
from regions.world import display
from regions.world.control import World, WorldStatus
from regions.world.embedded import embedded_plan
from regions.world.errors import NotReadyError, NotRunningError, WorldError
from regions.world.home import Home
from regions.world.lifecycle import bring_down, check_ports, claim, wait_until_ready
from regions.world.settings import WorldSettings, load_settings

__all__ = ["app"]

_READY_TIMEOUT_S = 60.0
_READYZ_TIMEOUT_S = 1.0

app = typer.Typer(no_args_is_help=True, help="Run the service on this machine.")
app.command()(play)
app.add_typer(regions, name="regions")

HomeOption = Annotated[
    Path | None,
    typer.Option(help="Folder of all state and logs; STEPDOWN_HOME, else .stepdown."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def up(home: HomeOption = None, json: JsonOption = False) -> None:
    """Bring the service up, post a few payment attempts, and show the decisions.

    The first run trains a model on simulated data, which takes a while.
    When everything runs already, only the attempts are posted.
    """
    with _told_in_a_sentence(json=json):
        screen = Console(stderr=json)
        settings = _settings(home)
        already = _is_running(settings)
        if already:
            screen.print("the service was started before.")
            _publish(settings, screen)
            now = _wait(World(settings.home), screen)
        else:
            now = _start(settings, load_topology(), screen)
        places = [_places(region, settings, now) for region in now.regions]
        samples = _post_samples(places, settings, screen)
        for place in places:
            _show_places(place, screen)
        if json:
            _print_json(
                {
                    "already_running": already,
                    "regions": places,
                    "processes": now.processes,
                    "samples": samples,
                }
            )


@app.command()
def down(home: HomeOption = None, json: JsonOption = False) -> None:
    """Stop everything that `up` started. Harmless when nothing runs; state is kept."""
    with _told_in_a_sentence(json=json):
        said = bring_down(_settings(home).home)
        if json:
            _print_json({"said": said})
            return
        for sentence in said:
            Console().print(sentence, soft_wrap=True)


@app.command()
def status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show every process, and which rungs each region can serve.

    The exit code is 1 when anything is not ready.
    """
    with _told_in_a_sentence(json=json):
        try:
            now = World.connect(_settings(home).home).status()
        except NotRunningError:
            _show_nothing(json=json)
            raise typer.Exit(1) from None
        readyz = {region: _readyz(now.port(f"{region}/operations")) for region in now.regions}
        if json:
            _print_json({"running": True, "processes": now.processes, "regions": readyz})
        else:
            screen = Console()
            screen.print(display.process_table(now))
            for region, said in readyz.items():
                screen.print(display.rung_table(region, said))
                if (exposure := display.exposure_table(region, said)) is not None:
                    screen.print(exposure)
        if not now.ready:
            raise typer.Exit(1)


@contextlib.contextmanager
def _told_in_a_sentence(*, json: bool) -> Iterator[None]:
    """End with exit code 2 and one sentence for whatever is expected to go wrong."""
    try:
        yield
    except (WorldError, TopologyError) as error:
        if json:
            _print_json({"error": str(error)})
        screen = Console(stderr=True, highlight=False)
        screen.print(f"stepdown: {error}", style="red", markup=False, soft_wrap=True)
        for line in error.log_tail if isinstance(error, NotReadyError) else ():
            screen.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def _settings(home: Path | None) -> WorldSettings:
    return load_settings(environ=os.environ, folder=Path.cwd(), home=home)


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
    first = display.process_table(world.status())
    with Live(first, console=screen, auto_refresh=False, transient=not screen.is_terminal) as live:
        return wait_until_ready(
            world,
            timeout_s=_READY_TIMEOUT_S,
            on_status=lambda now: live.update(display.process_table(now), refresh=True),
        )


def _post_samples(
    places: list[dict[str, str]], settings: WorldSettings, screen: Console
) -> list[dict[str, Any]]:
    """Post the sample attempts to every region, and show the decisions."""
    from app.samples import post_samples

    samples: list[dict[str, Any]] = []
    for place in places:
        decided = post_samples(place["api"], settings.home)
        screen.print(display.decision_table(decided))
        samples += [{"region": place["region"], **sample} for sample in decided]
    return samples


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


def _readyz(port: int | None) -> dict[str, Any] | None:
    """What a region's operations listener says of its rungs; None when it does not say."""
    if port is None:
        return None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_READYZ_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return msgspec.json.decode(connection.getresponse().read(), type=dict[str, Any])
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()


def _show_nothing(*, json: bool) -> None:
    if json:
        _print_json({"running": False, "processes": [], "regions": {}})
    else:
        Console().print("nothing is running; 'stepdown up' starts it.")


def _print_json(what: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(what).decode())
