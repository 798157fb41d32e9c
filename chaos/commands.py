"""Commands that break things on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.command_line import HomeOption, JsonOption, print_json
from app.errors import OperatorError
from chaos.apart_commands import DRILLS, run_apart
from chaos.bench.commands import bench
from chaos.campaign_commands import campaign, report
from chaos.engine.control_names import ControlName
from chaos.options import LAG_MAX, STOLEN_MAX, LagMaxOption, StolenMaxOption

if TYPE_CHECKING:
    from chaos.engine.running import Options
    from chaos.engine.spec import Drill

__all__ = ["app"]

app = typer.Typer()
drill = typer.Typer(no_args_is_help=True, help="Break things on purpose, and watch.")
app.add_typer(drill, name="drill")
app.add_typer(bench, name="bench")
drill.command("report")(report)
drill.command("campaign")(campaign)


@drill.command("list")
def list_drills(json: JsonOption = False) -> None:
    """Show the drills, and who drills which row of the fault matrix."""
    from chaos.engine.matrix import covered, load_matrix
    from chaos.engine.shown import drills_table, listed, matrix_table
    from chaos.engine.spec import load_drills

    drills = load_drills()
    rows = covered(load_matrix(), drills.values())
    if json:
        print_json({"drills": [*listed(drills.values()), *_listed_apart()], "matrix": rows})
        return
    Console().print(drills_table(drills.values()))
    table = Table(show_header=False, box=None, title="with figures of their own, one at a time")
    for name, what in DRILLS.items():
        table.add_row(f"[bold]{name}", what)
    Console().print(table)
    Console().print(matrix_table(rows))
    drilled = sum(one.drilled for one in rows)
    tested = sum(not (one.drills or one.row.apart) for one in rows if one.drilled)
    Console().print(f"{drilled} of {len(rows)} rows are drilled, {tested} of them by tests alone.")


@drill.command()
def run(
    names: Annotated[
        list[str] | None, typer.Argument(help="Of drills; see 'stepdown drill list'.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every drill of the matrix.")] = False,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="One short episode each, of the smoke set where no drill is named."
        ),
    ] = False,
    requests: Annotated[
        int | None, typer.Option(min=1, help="On the faulted path in all; by longer holds.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of instants, attempts and draws.")] = 7,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut, of the same commit.")
    ] = False,
    phases: Annotated[int | None, typer.Option(min=1, max=100, help="Episodes.")] = None,
    region: Annotated[
        str | None, typer.Option(help="Region to drill; the first one by default.")
    ] = None,
    control: Annotated[
        ControlName | None,
        typer.Option(help="Take a protection out: the drill has to fail, or this does."),
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(min=1, help="Pairs of drills instead, drawn at random by seed.")
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option(help="TOML that names a fleet of others: load alone, the faults are theirs."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Results as 'drill report' reads them, JSON.")
    ] = None,
    lag_max: LagMaxOption = LAG_MAX,
    stolen_max: StolenMaxOption = STOLEN_MAX,
    deadline: Annotated[
        float | None,
        typer.Option(
            min=20,
            help="Of an answer, ms; 1,000 through the client and 100 at a region by default.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Folder for plots of who answered over time.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, max=1_000, help="Attempts a second; as the drill says, or 40."),
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=600,
            help="Seconds of each step of the descent (3) and of exposure (6), of an outage (60), "
            "of freshness (30), of spread and twice (10), of a partition (60).",
        ),
    ] = None,
    times: Annotated[int, typer.Option(min=1, max=1_000, help="Workers to kill.")] = 50,
    budget: Annotated[
        int, typer.Option(min=1, help="Of a tier in the exposure drill, minor units an hour.")
    ] = 100_000,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Run drills against the service that 'stepdown up' started. Exit code 1 if one fails."""
    if names is not None and len(names) == 1 and names[0] in DRILLS:
        passed = run_apart(
            names[0], home, rate=rate or 40.0, hold=hold, times=times, budget=budget, json=json
        )
    else:
        from chaos.engine.controls import CONTROLS
        from chaos.engine.kept import commit
        from chaos.engine.running import Options
        from chaos.engine.verdict import Allowed
        from chaos.engine_commands import Shown, run_drills, run_target

        options = Options(
            requests=requests,
            deadline_ms=deadline,
            rate=rate,
            phases=phases,
            seed=seed,
            resume=resume,
            control=control,
            allowed=Allowed(lag_ms=lag_max, stolen=stolen_max),
            commit=commit(),
        )
        if target is not None:
            passed = run_target(target, home, options, hold_s=hold or 60.0, json=json)
        else:
            chosen = names or ([] if control is None else [CONTROLS[control].drill])
            drills = _chosen(chosen, options, everything=all_, smoke=smoke, pairs=pairs)
            shown = Shown(plot=plot, out=out, json=json)
            passed = run_drills(drills, options, home, region=region, shown=shown)
    if not passed:
        raise typer.Exit(1)


def _chosen(
    names: list[str], options: Options, *, everything: bool, smoke: bool, pairs: int | None
) -> list[Drill]:
    """The drills that are asked for, as they are to be run.

    Raises:
        OperatorError: none is, or one that there is not.
    """
    from chaos.engine.pairs import pairs as drawn
    from chaos.engine.running import shaped
    from chaos.engine.spec import find_drills, load_drills

    drills = load_drills()
    found = find_drills(names, drills)
    if everything:
        found = list(drills.values())
    elif smoke and not names and pairs is None:
        found = [one for one in drills.values() if one.smoke]
    if pairs is not None:
        found = drawn(found or drills.values(), pairs, seed=options.seed)
    if not found:
        raise OperatorError("name a drill, or give --all or --smoke; see 'stepdown drill list'.")
    return [shaped(one, options, smoke=smoke) for one in found]


def _listed_apart() -> list[dict[str, str]]:
    """The drills that have figures of their own, as `list` has them."""
    return [{"name": name, "title": what} for name, what in DRILLS.items()]
