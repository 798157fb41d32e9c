"""Commands of campaigns: run everything there is, and say what it came to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.command_line import HomeOption, JsonOption, print_json, progress
from app.errors import OperatorError
from chaos.options import LAG_MAX, STOLEN_MAX, LagMaxOption, StolenMaxOption

__all__ = ["campaign", "report"]

ROOT = Path("chaos") / "results"
REPORT = "report.html"

WriteOption = Annotated[
    Path | None, typer.Option("--write", help="Page with the marks of the section 'drills'.")
]


def report(
    results: Annotated[
        Path | None,
        typer.Argument(help="Of 'drill run --out' or a campaign; the newest campaign by default."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page; beside the results by default.")
    ] = None,
    write: WriteOption = None,
    json: JsonOption = False,
) -> None:
    """Make a page of results, that needs nothing from elsewhere."""
    from chaos.campaign import RESULTS

    path = results or _newest(ROOT) / RESULTS
    said = _reported(path, out or path.with_name(REPORT), write)
    if json:
        print_json(said)
    else:
        Console().print(f"{said['report']}: U = {said['unavailability']:.1e}", soft_wrap=True)


def campaign(
    folder: Annotated[Path, typer.Option(help="Of all campaigns; each has one below.")] = ROOT,
    requests: Annotated[
        int | None, typer.Option(min=1, help="On the faulted path of each drill, at least.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=0, help="Of faults, drawn at random.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of instants, attempts and draws.")] = 7,
    smoke: Annotated[bool, typer.Option("--smoke", help="One short episode each.")] = False,
    apart: Annotated[
        bool, typer.Option(help="Run the drills with figures of their own, too.")
    ] = True,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Only what did not come out of the newest campaign as it has to, once more; what "
            "it came to before stays in the sums.",
        ),
    ] = False,
    lag_max: LagMaxOption = LAG_MAX,
    stolen_max: StolenMaxOption = STOLEN_MAX,
    region: Annotated[str | None, typer.Option(help="To drill; the first one by default.")] = None,
    write: WriteOption = None,
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Run every drill, control and pair; go on where it was cut. Exit code 1 if one fails."""
    from chaos.apart_commands import DRILLS
    from chaos.campaign import RESULTS, Campaign, campaign_folder, run_again, run_campaign
    from chaos.engine.ground import ground_of
    from chaos.engine.kept import commit
    from chaos.engine.running import Options
    from chaos.engine.spec import load_drills
    from chaos.engine.verdict import Allowed

    options = Options(
        requests=requests,
        seed=seed,
        commit=commit(),
        allowed=Allowed(lag_ms=lag_max, stolen=stolen_max),
    )
    own = _newest(folder) if again else campaign_folder(folder, options)
    with progress(json=json) as told:
        results = (run_again if again else run_campaign)(
            ground_of(home, region),
            Campaign(
                drills=tuple(load_drills().values()),
                options=options,
                pairs=pairs,
                smoke=smoke,
                apart=tuple(DRILLS) if apart else (),
            ),
            own,
            report=told,
        )
    said = _reported(own / RESULTS, own / REPORT, write)
    if json:
        print_json(said)
    else:
        word = "passed" if results.passed else "NOT passed"
        Console().print(f"campaign {word}; {said['report']}", soft_wrap=True)
    if not results.passed:
        raise typer.Exit(1)


def _newest(root: Path) -> Path:
    """The folder of the newest campaign.

    Raises:
        OperatorError: there is none.
    """
    from chaos.campaign import RESULTS

    found = max(root.glob(f"*/{RESULTS}"), default=None)
    if found is None:
        raise OperatorError(f"there are no results below {root}; 'make campaign' makes some.")
    return found.parent


def _reported(path: Path, out: Path, write: Path | None) -> dict[str, object]:
    """Write the page, and the README's part where one is named.

    Raises:
        OperatorError: a file cannot be read or written.
    """
    from app.marked_section import write_section
    from chaos.engine.matrix import covered, load_matrix
    from chaos.engine.results import read_results
    from chaos.engine.spec import load_drills
    from chaos.report.figures import figures
    from chaos.report.page import page
    from chaos.report.readme import SECTION, section

    results = read_results(path)
    found = figures(results, covered(load_matrix(), load_drills().values()))
    try:
        out.write_text(page(results, found), encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{out} cannot be written: {error.strerror}.") from None
    if write is not None:
        write_section(write, SECTION, section(results, found))
    return {
        "report": str(out),
        "results": str(path),
        "passed": results.passed,
        "rows": {one.covered.row.row: one.state for one in found.rows},
        "requests": found.requests,
        "failed": found.failed,
        "availability_lower_95": found.availability_lower_95,
        "unavailability": found.unavailability,
    }
