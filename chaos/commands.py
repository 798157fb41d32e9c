"""Commands that break things on purpose."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.errors import OperatorError

__all__ = ["app"]

app = typer.Typer()
drill = typer.Typer(no_args_is_help=True, help="Break things on purpose, and watch.")
app.add_typer(drill, name="drill")


@drill.command("list")
def list_drills() -> None:
    """Show the drills."""
    from chaos import descent

    summary = (descent.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    Console().print(f"[bold]descent[/]  {summary}")


@drill.command()
def run(
    name: Annotated[str, typer.Argument(help="Of the drill; see 'stepdown drill list'.")],
    rate: Annotated[float, typer.Option(min=1, max=500, help="Attempts a second.")] = 40.0,
    hold: Annotated[float, typer.Option(min=0.5, max=600, help="Seconds at each step.")] = 3.0,
    home: Annotated[
        Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder of all state and logs.")
    ] = Path(".stepdown"),
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Run a drill against the service that 'stepdown up' started. Exit code 1 if it fails."""
    from app.registry import Registry
    from app.samples import load_samples
    from chaos.descent import StepResult, run_descent
    from chaos.load import Load
    from regions.world.control import World
    from regions.world.errors import WorldError

    if name != "descent":
        raise OperatorError(f"there is no drill {name!r}; see 'stepdown drill list'.")
    try:
        world = World.connect(home)
        status = world.status()
    except WorldError as error:
        raise OperatorError(f"{error}; 'stepdown up' starts it.") from None
    region = status.regions[0]
    load = Load(
        f"http://127.0.0.1:{status.port(f'{region}/scorer')}",
        key=os.environ.get("STEPDOWN_API_KEY") or Registry(home).dev_key.read_text().strip(),
        bodies=[sample.body for sample in load_samples(home)],
        rate=rate,
    )
    screen = Console(stderr=True)

    def told(step: StepResult) -> None:
        mark = "[green]as expected[/]" if step.passed else "[red]NOT as expected[/]"
        screen.print(f"  {step.name}: {mark}")

    result = asyncio.run(
        run_descent(
            world,
            load,
            published=home / region / "published",
            region=region,
            hold_s=hold,
            on_step=told,
        )
    )
    if json:
        typer.echo(
            msgspec.json.encode(
                {
                    "steps": result.steps,
                    "requests": result.requests,
                    "failed": result.failed,
                    "passed": result.passed,
                }
            ).decode()
        )
    else:
        table = Table("step", "answered by", "after", "why not higher", "requests", "failed", "p99")
        for step in result.steps:
            rungs = ", ".join(f"{rung} {share:.1%}" for rung, share in step.rungs.items())
            table.add_row(
                step.name,
                rungs,
                "never" if step.settled_s is None else f"{step.settled_s:.2f} s",
                ", ".join(f"{rung}: {why}" for rung, why in step.why.items()),
                str(step.requests),
                str(step.failed),
                f"{step.latency_ms_p99:.1f} ms",
            )
        Console().print(table)
        Console().print(
            f"{result.requests} requests, {result.failed} failed: "
            + ("[green]passed[/]" if result.passed else "[red]FAILED[/]")
        )
    if not result.passed:
        raise typer.Exit(1)
