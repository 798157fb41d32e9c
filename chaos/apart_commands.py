"""Drills with figures of their own: run, and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from chaos.target import Target

__all__ = ["DRILLS", "run_apart"]

DRILLS = {
    "descent": "take everything away, one after the other: down the ladder and back",
    "kills": "kill workers under load: is any answered decision missing from the journal?",
    "outage": "stream and object storage away: does the backlog drain, once each?",
    "emptied": "the datastore comes back empty: is it built anew, once each?",
    "exposure": "two hosts of their own on lower rungs: are approvals within the bound?",
    "freshness": "how long from the journal to the counters?",
    "spread": "how long until what one region decided counts in the others?",
    "partition": "two regions cut off from each other: is every attempt counted once afterwards?",
    "twice": "the same attempts to two regions: one decision each, counted once?",
    "burst": "50 attempts on a card in 300 ms: are approvals within the brake's bound?",
}


def run_apart(
    name: str,
    home: Path,
    *,
    rate: float,
    hold: float | None,
    times: int,
    budget: int,
    json: bool,
) -> bool:
    """A drill that has figures of its own; whether it passed."""
    if name == "exposure":
        return _exposure(home, rate, hold or 6.0, budget, json=json)
    from chaos.target import target_of

    target = target_of(home, rate, keep_alive=name != "kills")
    match name:
        case "partition" | "twice" | "burst":
            from chaos.truth_commands import run_truth

            passed = run_truth(name, target, home, rate, hold, json=json)
        case "descent":
            passed = _descent(target, hold or 3.0, json=json)
        case "kills":
            passed = _kills(target, times, json=json)
        case "freshness":
            passed = _freshness(target, rate, hold or 30.0, json=json)
        case "spread":
            passed = _spread(target, home, rate, hold or 10.0, json=json)
        case _:
            passed = _outage(target, name, hold or 60.0, json=json)
    return passed


def _exposure(home: Path, rate: float, hold_s: float, budget: int, *, json: bool) -> bool:
    from app.command_line import progress
    from chaos.exposure import run_exposure
    from chaos.exposure_table import exposure_found, exposure_table
    from chaos.target import settings_of

    settings = settings_of(home)
    with progress(json=json) as report:
        result = run_exposure(
            settings.home, settings, rate=rate, hold_s=hold_s, budget=budget, report=report
        )
    if json:
        _print_json(
            {**msgspec.to_builtins(result), "within": result.within, "passed": result.passed}
        )
        return result.passed
    Console().print(exposure_table(result))
    Console().print(f"{exposure_found(result)}: {_verdict(result.passed)}")
    return result.passed


def _freshness(target: Target, rate: float, seconds: float, *, json: bool) -> bool:
    from app.record.signing import ensure_signing_key
    from chaos.freshness import measure_freshness
    from regions.topology import load_topology

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=json) as progress:
        task = progress.add_task(f"{rate:g} events a second", total=1.0)
        result = measure_freshness(
            [target.store()],
            target.folder / "journal",
            region=load_topology().region(target.region).number,
            signer=ensure_signing_key(target.folder.parent / "secrets" / "journal-key"),
            rate=rate,
            seconds=seconds,
            report=lambda done: progress.update(task, completed=done),
        )
    if json:
        _print_json({**msgspec.to_builtins(result), "passed": result.passed})
        return result.passed
    ages = ", ".join(f"{name} {ms} ms" for name, ms in result.age_ms.items())
    console = Console()
    console.print(f"{result.events:,} events at {result.rate} a second, {result.seen:,} counted")
    console.print(f"from the journal to the counters: {ages}: {_verdict(result.passed)}")
    return result.passed


def _spread(target: Target, home: Path, rate: float, seconds: float, *, json: bool) -> bool:
    from app.command_line import progress
    from app.registry import Registry
    from app.samples import load_samples
    from chaos.spread import measure_spread
    from chaos.spread_table import spread_found, spread_table

    with progress(json=json) as report:
        pairs = asyncio.run(
            measure_spread(
                target.places(),
                key=Registry(home).dev_key.read_text("ascii").strip(),
                body=load_samples(home)[0].body,
                rate=rate,
                seconds=seconds,
                report=lambda done: report(done, f"{rate:g} attempts a second to each region"),
            )
        )
    found = spread_found(pairs, target.plan())
    passed = all(pair.passed for pair in pairs)
    if json:
        _print_json({"pairs": found, "passed": passed})
        return passed
    Console().print(spread_table(found))
    Console().print(f"99 % within 2 s: {_verdict(passed)}")
    return passed


def _descent(target: Target, hold_s: float, *, json: bool) -> bool:
    from chaos.descent import StepResult, run_descent

    screen = Console(stderr=True)

    def told(step: StepResult) -> None:
        mark = "[green]as expected[/]" if step.passed else "[red]NOT as expected[/]"
        screen.print(f"  {step.name}: {mark}")

    result = asyncio.run(
        run_descent(
            target.world,
            target.load,
            published=target.folder / "published",
            stores=target.stores(),
            hold_s=hold_s,
            on_step=told,
        )
    )
    if json:
        _print_json(
            {
                "steps": result.steps,
                "requests": result.requests,
                "failed": result.failed,
                "passed": result.passed,
            }
        )
        return result.passed
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
        f"{result.requests} requests, {result.failed} failed: {_verdict(result.passed)}"
    )
    return result.passed


def _kills(target: Target, times: int, *, json: bool) -> bool:
    from chaos.kills import measure_window, run_kills

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("killing workers", total=times)
        result = asyncio.run(
            run_kills(
                target.world,
                target.load,
                journal=target.folder / "journal",
                scorer=f"{target.region}/scorer",
                kills=times,
                on_kill=lambda number: progress.update(task, completed=number),
            )
        )
    window = measure_window(target.folder)
    if json:
        _print_json({**msgspec.to_builtins(result), "window": window, "passed": result.passed})
        return result.passed
    console = Console()
    console.print(
        f"{result.kills} workers killed, {result.epochs} writer epochs; "
        f"{result.requests} attempts, {result.unanswered} in flight when their worker died, "
        f"{result.late} late"
    )
    console.print(
        f"{result.missing} missing of {result.answered} decisions that clients were given, "
        f"{result.doubled} there twice: {_verdict(result.passed)}"
    )
    console.print(
        f"lost with a host: what was appended in the last {window.p50_ms} ms (p50), "
        f"{window.p99_ms} ms (p99), {window.max_ms} ms (worst of {window.groups} groups)"
    )
    return result.passed


def _outage(target: Target, name: str, hold_s: float, *, json: bool) -> bool:
    from chaos.outage import emptied, outage, run_outage

    screen = Console(stderr=True)
    result = asyncio.run(
        run_outage(
            target.load,
            (emptied if name == "emptied" else outage)(target.world, target.region, target.folder),
            folder=target.folder,
            store=target.store(),
            hold_s=hold_s,
            on_phase=lambda what: screen.print(f"  {what}"),
        )
    )
    if json:
        _print_json({**msgspec.to_builtins(result), "passed": result.passed})
        return result.passed
    rungs = ", ".join(f"{rung} {count:,}" for rung, count in result.rungs.items())
    console = Console()
    console.print(
        f"{result.requests:,} attempts, {result.failed} failed ({rungs}); "
        f"drained {result.drained_s} s after the return"
    )
    console.print(
        f"{result.decisions:,} decisions in the journal, {result.lost} lost, "
        f"{result.twice} counted twice: {_verdict(result.passed)}"
    )
    if result.off_before:
        console.print(f"{result.off_before:,} cards did not match the journal before it began")
    return result.passed


def _verdict(passed: bool) -> str:
    return "[green]passed[/]" if passed else "[red]FAILED[/]"


def _print_json(what: Mapping[str, Any]) -> None:
    typer.echo(msgspec.json.encode(what).decode())
