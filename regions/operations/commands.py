"""Commands of a region's operations: `regions status | evacuate | restore | rebuild`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.command_line import HomeOption, JsonOption, print_json, progress
from app.errors import OperatorError

if TYPE_CHECKING:
    from regions.operations.engine import Outcome, Runner, Step
    from regions.operations.stores import RunningWorld
    from regions.operations.watch import Watch
    from regions.topology import Topology

__all__ = ["regions"]

regions = typer.Typer(
    no_args_is_help=True, help="Look at regions, take one out, bring it back, rebuild its store."
)

DEFAULT_HOME = Path(".stepdown")
_STYLES = {"refused": "red", "failed": "red", "forced": "yellow", "would": "cyan"}

RegionArgument = Annotated[str, typer.Argument(help="Name of the region.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Look, and change nothing.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Go on where a check refuses that may be overruled.")
]


@regions.command()
def status(home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """Show each region's health, switch, weight, rungs, ages and rate.

    The exit code is 1 when a region is out, unhealthy or does not decide.
    """
    from rich.console import Console

    from regions.operations.status import status_of, status_table

    with _sentences():
        _, _, watch = _world(home)
        found = status_of(watch)
    if json:
        print_json({"regions": found})
    else:
        Console().print(status_table(found))
    if not all(one.well for one in found):
        raise typer.Exit(1)


@regions.command()
def evacuate(
    region: RegionArgument,
    capacity: Annotated[
        float | None,
        typer.Option(
            min=1,
            envvar="STEPDOWN_REGION_CAPACITY",
            help="Decisions a second that one region was measured to answer.",
        ),
    ] = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Send nobody to a region any more. Safe to repeat; 'restore' takes it back."""
    from regions.operations.evacuate import Evacuation

    with _sentences():
        _, topology, watch = _world(home)
        _known(region, watch)
        evacuation = Evacuation(
            watch=watch,
            region=region,
            capacity=capacity,
            round_trip_ms={
                (one, other): topology.round_trip_ms(one, other)
                for one in watch.regions
                for other in watch.regions
            },
        )
        _carry_out(evacuation.steps(), _runner(dry_run=dry_run, force=force), json=json)


@regions.command()
def restore(
    region: RegionArgument,
    bake: Annotated[
        float, typer.Option(min=0, max=3_600, help="Seconds to look at each part before the next.")
    ] = 60.0,
    dry_run: DryRunOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Give a region its traffic back: 1, 10, 50, 100 %, then DNS. Safe to repeat."""
    from regions.operations.restore import Restoration

    with _sentences():
        world, _, watch = _world(home)
        _known(region, watch)
        restoration = Restoration(
            watch=watch, region=region, behind=world.stores.behind, bake_s=bake
        )
        _carry_out(restoration.steps(), _runner(dry_run=dry_run), json=json)


@regions.command()
def rebuild(
    region: RegionArgument,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Build a region's store from its history, beside the old one, and switch to it."""
    from regions.operations.rebuild_world import rebuilding

    with _sentences(), contextlib.ExitStack() as stack:
        world, _, watch = _world(home)
        _known(region, watch)
        report = _no_report if dry_run else stack.enter_context(progress(json=json))
        made = rebuilding(world, region, report=report, stack=stack)
        _carry_out(made.steps(), _runner(dry_run=dry_run, force=force), json=json)


def _no_report(_share: float, _what: str) -> None:
    """A dry run fills nothing."""


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """What is expected to go wrong ends in one sentence, as all commands end."""
    from app.weights import WeightsError
    from regions.routing.interface import RoutingUnavailable
    from regions.topology import TopologyError
    from regions.world.errors import WorldError

    try:
        yield
    except (RoutingUnavailable, TopologyError, WeightsError, WorldError) as error:
        raise OperatorError(str(error)) from error


def _world(home: Path) -> tuple[RunningWorld, Topology, Watch]:
    """What runs, and how to look at it."""
    import time
    from datetime import UTC, datetime

    from regions.operations.facts import read_facts
    from regions.operations.stores import running_world
    from regions.operations.watch import Watch
    from regions.routing.local import LocalRouter
    from regions.topology import PORTS_PER_REGION, load_topology

    topology = load_topology()
    world = running_world(home.absolute())
    names = tuple(world.api)
    first = names[0]
    base = world.api[first] - PORTS_PER_REGION * topology.region(first).number
    watch = Watch(
        home=world.home,
        regions=names,
        router=LocalRouter(world.home, topology, regions=names, port_base=base),
        read=lambda region: read_facts(world.operations[region]),
        monotonic=time.monotonic,
        sleep=time.sleep,
        wall=lambda: datetime.now(UTC),
    )
    return world, topology, watch


def _known(region: str, watch: Watch) -> None:
    if region not in watch.regions:
        raise OperatorError(f"{region} does not run here; there are {', '.join(watch.regions)}.")


def _runner(*, dry_run: bool, force: bool = False) -> Runner:
    import time

    import redis

    from app.weights import WeightsError
    from regions.operations.engine import Runner
    from regions.routing.interface import RoutingUnavailable
    from regions.world.errors import WorldError

    return Runner(
        monotonic=time.monotonic,
        sleep=time.sleep,
        unknown=(
            RoutingUnavailable,
            WeightsError,
            WorldError,
            OperatorError,
            redis.RedisError,
            OSError,
        ),
        dry_run=dry_run,
        force=force,
    )


def _carry_out(steps: Iterable[Step], runner: Runner, *, json: bool) -> None:
    """Run the steps, each printed as it ends; exit code 1 when one ends the operation."""
    outcomes = []
    say = _silent if json else _printer()
    for outcome in runner.run(list(steps)):
        say(outcome)
        outcomes.append(outcome)
    ok = not outcomes[-1].ends
    if json:
        print_json({"ok": ok, "dry_run": runner.dry_run, "steps": outcomes})
    if not ok:
        raise typer.Exit(1)


def _silent(_: Outcome) -> None:
    """For machines all steps are told at the end."""


def _printer() -> Callable[[Outcome], None]:
    from rich.console import Console

    console = Console(highlight=False)

    def say(outcome: Outcome) -> None:
        style = _STYLES.get(outcome.result, "green")
        console.print(
            f"[{style}]{outcome.result:>8}[/]  {outcome.step}  "
            f"[dim]{outcome.says} ({outcome.took_s:.1f} s)[/]",
            soft_wrap=True,
        )

    return say
