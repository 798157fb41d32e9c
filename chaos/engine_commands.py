"""What 'drill run' does with drills of the engine: run them, or a load on a fleet of others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from app.command_line import print_json, progress
from chaos.engine.ground import ground_of
from chaos.engine.plots import plot_timeline
from chaos.engine.remote import load_remote, run_remote
from chaos.engine.results import Told, begun, ended, told, write_results
from chaos.engine.running import Options, run_drill
from chaos.engine.shown import results_table
from chaos.engine.spec import Drill
from chaos.engine.verdict import Result

__all__ = ["Shown", "run_drills", "run_target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How results are told.

    Attributes:
        plot: folder of plots of who answered; None for none.
        out: file of results; None for none.
        json: one JSON object and nothing else.
    """

    plot: Path | None
    out: Path | None
    json: bool


def run_drills(
    drills: list[Drill], options: Options, home: Path, *, region: str | None, shown: Shown
) -> bool:
    """Run drills one after the other and show them; whether all are as they have to be."""
    ground = ground_of(home, region)
    found: list[Told] = []
    with progress(json=shown.json) as report:
        for number, one in enumerate(drills):

            def within(share: float, what: str, number: int = number) -> None:
                report((number + share) / len(drills), what)

            ran = run_drill(ground, one, options, report=within)
            found.append(told(ran, options.control))
            if shown.plot is not None:
                plot_timeline(shown.plot / f"{one.name}.svg", ran.episodes[0], one.title)
    passed = all(one.as_expected for one in found)
    if shown.out is not None:
        _keep(shown.out, found, options)
    _show([one.result for one in found], options, passed=passed, json=shown.json)
    return passed


def run_target(path: Path, home: Path, options: Options, *, hold_s: float, json: bool) -> bool:
    """A load on a fleet of others; whether every attempt was answered."""
    remote = load_remote(path, home)
    with progress(json=json) as report:
        result = run_remote(remote, options, hold_s=hold_s, report=report)
    _show([result], options, passed=result.passed, json=json)
    if not json:
        Console().print(
            "The faults are the operator's, or AWS FIS's: none was made here.", soft_wrap=True
        )
    return result.passed


def _keep(path: Path, found: list[Told], options: Options) -> None:
    results = begun(commit=options.commit, seed=options.seed)
    if options.control is None:
        results.drills = [one for one in found if "+" not in one.drill.name]
        results.pairs = [one for one in found if "+" in one.drill.name]
    else:
        results.controls = found
    ended(results)
    write_results(path, results)


def _show(results: list[Result], options: Options, *, passed: bool, json: bool) -> None:
    if json:
        said = {"drills": results, "passed": passed, "commit": options.commit, "seed": options.seed}
        control = {} if options.control is None else {"control": options.control}
        print_json({**said, **control})
        return
    console = Console()
    console.print(results_table(results))
    for result in results:
        for problem in result.problems:
            console.print(f"[bold]{result.name}[/]: {problem}.", soft_wrap=True)
    if options.control is not None:
        word = "it turned red, as it has to" if passed else "it did NOT turn red"
        console.print(f"with {options.control}: {word}.")
