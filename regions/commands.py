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

HomeOption = Annotated[
    Path | None,
    typer.Option(help="Folder of all state and logs; STEPDOWN_HOME, else .stepdown."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def up(home: HomeOption = None, json: JsonOption = False) -> None:
    """Bring the service up, post a few payment attempts, and show the decisions.

    On the first run a model is trained on simulated data, which takes a while. When everything
    runs already, only the attempts are posted.
    """
    with _told_in_a_sentence(json=json):
        screen = Console(stderr=json)
        settings, topology = _settings(home), load_topology()
        already = _is_running(settings)
        if already:
            screen.print("everything was started before.")
            world = World(settings.home)
            status = _wait(world, screen)
        else:
            status = _start(settings, topology, screen)
        samples = _post_samples(settings, topology, screen)
        places = [_places(name, settings, topology) for name in settings.regions]
        if json:
            _print_json(
                {
                    "already_running": already,
                    "regions": places,
                    "processes": status.processes,
                    "samples": samples,
                }
            )
            return
        for place in places:
            screen.print(
                "  ".join(f"{name} {where}" for name, where in place.items()), soft_wrap=True
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
        settings, topology = _settings(home), load_topology()
        try:
            now = World.connect(settings.home).status()
        except NotRunningError:
            _show_nothing(json=json)
            raise typer.Exit(1) from None
        regions = dict.fromkeys(process.region for process in now.processes)
        readyz = {name: _readyz(topology.ports(name, settings.port_base).operations)
                  for name in regions}  # fmt: skip
        if json:
            _print_json({"running": True, "processes": now.processes, "regions": readyz})
        else:
            screen = Console()
            screen.print(display.process_table(now))
            for name, said in readyz.items():
                screen.print(display.rung_table(name, said))
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
        _publish(settings, screen)
        world = claimed.launch(plan)
    try:
        return _wait(world, screen)
    except (NotReadyError, KeyboardInterrupt):
        bring_down(settings.home)
        raise


def _publish(settings: WorldSettings, screen: Console) -> None:
    """Have a model published in every region, with a progress bar while one is made."""
    from app.bootstrap import ensure_published

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        for region in settings.regions:
            task = progress.add_task(region, total=1.0)

            def report(done: float, what: str, *, task: TaskID = task) -> None:
                progress.update(task, completed=done, description=what)

            ensure_published(settings.home, region, report)


def _wait(world: World, screen: Console) -> WorldStatus:
    first = display.process_table(world.status())
    with Live(first, console=screen, auto_refresh=False, transient=not screen.is_terminal) as live:
        return wait_until_ready(
            world,
            timeout_s=_READY_TIMEOUT_S,
            on_status=lambda now: live.update(display.process_table(now), refresh=True),
        )


def _post_samples(
    settings: WorldSettings, topology: Topology, screen: Console
) -> list[dict[str, Any]]:
    from app.samples import post_samples

    samples: list[dict[str, Any]] = []
    for region in settings.regions:
        url = _places(region, settings, topology)["api"]
        decided = post_samples(url, settings.home)
        screen.print(display.decision_table(decided))
        samples += [{"region": region, **sample} for sample in decided]
    return samples


def _places(region: str, settings: WorldSettings, topology: Topology) -> dict[str, str]:
    """Where a region's API, documentation, operations page and logs are."""
    ports = topology.ports(region, settings.port_base)
    host = settings.connect_host
    api = f"http://{f'[{host}]' if ':' in host else host}:{ports.api}"
    return {
        "region": region,
        "api": api,
        "docs": f"{api}/docs",
        "operations": f"http://127.0.0.1:{ports.operations}/",
        "logs": str(Home(settings.home).log(region, "scorer").parent),
    }


def _readyz(port: int) -> dict[str, Any] | None:
    """What a region says of its rungs; None when it does not say."""
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
