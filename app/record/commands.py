"""Commands of the auditor: `audit verify`, `show`, `replay`, `export`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from app.errors import OperatorError

if TYPE_CHECKING:
    from app.record.decision import DecisionRecord

__all__ = ["app"]

app = typer.Typer()
audit = typer.Typer(
    help="Look decisions up, and verify that their records are as they were written.",
    no_args_is_help=True,
)
app.add_typer(audit, name="audit")

HomeOption = Annotated[
    Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder of all state and logs.")
]
RegionOption = Annotated[
    list[str] | None, typer.Option(help="Region, repeatable; every region of HOME by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]


@audit.command()
def verify(
    home: HomeOption = Path(".stepdown"),
    region: RegionOption = None,
    keyring: Annotated[
        Path | None, typer.Option(help="Folder of the keys to trust; beside the journal's own.")
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Public key (PEM) that must have endorsed the keys of the keyring."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find any edit, cut, reorder or gap in the journals. Exit code 1 if there is one."""
    from app.record.anchor import FolderAnchors
    from app.record.journal import KEYRING
    from app.record.signing import Keyring, load_public_key
    from app.record.verify import verify as check
    from regions.topology import load_topology

    try:
        trusted = None if root is None else load_public_key(root)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{root} is no public key: {error}.") from None
    topology = load_topology()
    reports = {
        name: check(
            home / name / "journal",
            Keyring(keyring or home / name / "journal" / KEYRING, root=trusted),
            FolderAnchors(home / "anchors" / name),
            region=topology.region(name).number,
        )
        for name in _regions(home, region)
    }
    ok = all(report.ok for report in reports.values())
    if json:
        _print_json({"ok": ok, "regions": reports})
    else:
        for name, report in reports.items():
            _print_report(name, msgspec.to_builtins(report))
    if not ok:
        raise typer.Exit(1)


@audit.command()
def show(
    decision_id: Annotated[str, typer.Argument(help="Id of the decision, dec_...")],
    home: HomeOption = Path(".stepdown"),
    json: JsonOption = False,
) -> None:
    """Show one decision: what was asked, what was answered, why, and from what."""
    from app.record.audit import explained
    from app.record.explanation import explanation_shown
    from app.record.lookup import find_explanation

    name, record = _found(home, decision_id)
    explanation = find_explanation(home / name / "journal", decision_id)
    said = {"region": name, **explained(record)}
    if explanation is not None:
        said["explanation"] = explanation_shown(explanation)
    if json:
        _print_json(said)
    else:
        _print_record(said)


@audit.command()
def replay(
    decision_id: Annotated[
        str | None, typer.Argument(help="Id of the decision, dec_...; or give --sample.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Replay so many decisions, drawn at random.")
    ] = None,
    home: HomeOption = Path(".stepdown"),
    region: RegionOption = None,
    json: JsonOption = False,
) -> None:
    """Compute decisions again: same score to the bit, same action. Exit code 1 if not."""
    from app.record.replay import Replayer, sampled

    if (decision_id is None) == (sample is None):
        raise OperatorError("give the id of a decision, or --sample N.")
    replays = []
    if decision_id is not None:
        name, record = _found(home, decision_id)
        replays.append(Replayer(home / name).replay(record))
    else:
        for name in _regions(home, region):
            replayer = Replayer(home / name)
            replays += [replayer.replay(r) for r in sampled(home / name / "journal", sample or 0)]
    differing = [one for one in replays if not one.same]
    rungs = Counter(one.rung for one in replays)
    said = {"replayed": len(replays), "same": len(replays) - len(differing), "rungs": rungs}
    if json:
        _print_json({**said, "differing": differing})
    else:
        shares = ", ".join(f"{rung} {count:,}" for rung, count in rungs.items())
        typer.echo(f"{said['same']:,} of {said['replayed']:,} came out the same ({shares})")
        for one in differing:
            typer.secho(f"{one.decision_id}: {'; '.join(one.differences)}", fg=typer.colors.RED)
    if differing:
        raise typer.Exit(1)


@audit.command()
def export(
    out: Annotated[Path, typer.Option(help="File to write, JSON lines.")],
    since: Annotated[datetime, typer.Option("--from", formats=TIMES, help="First moment, UTC.")],
    until: Annotated[
        datetime, typer.Option("--to", formats=TIMES, help="First moment no longer taken, UTC.")
    ],
    home: HomeOption = Path(".stepdown"),
    region: RegionOption = None,
    json: JsonOption = False,
) -> None:
    """Write all records of a time as JSON lines, each with its event id."""
    from app.record.audit import exported

    damaged: list[str] = []
    count = 0
    fresh = out.with_name(f"{out.name}.part")
    try:
        with fresh.open("wb") as file:
            for name in _regions(home, region):
                for line in exported(
                    home / name / "journal",
                    since_ms=_unix_ms(since),
                    until_ms=_unix_ms(until),
                    damaged=lambda path, why: damaged.append(f"{path}: {why}"),
                ):
                    file.write(msgspec.json.encode(line) + b"\n")
                    count += 1
        fresh.replace(out)
    except OSError as error:
        raise OperatorError(f"{out} cannot be written: {error.strerror}.") from None
    said = {"file": str(out), "records": count, "damaged": damaged}
    if json:
        _print_json(said)
    else:
        typer.echo(f"{count:,} records in {out}")
        for damage in damaged:
            typer.secho(f"left out from here on: {damage}", err=True, fg=typer.colors.RED)
    if damaged:
        raise typer.Exit(1)


def _found(home: Path, decision_id: str) -> tuple[str, DecisionRecord]:
    """A decision's region and record.

    Raises:
        OperatorError: not a decision id, or its record is not here.
    """
    from app.ids import locate
    from app.record.lookup import find_decision
    from regions.topology import load_topology

    try:
        number = locate(decision_id).region
    except ValueError as error:
        raise OperatorError(f"{decision_id} is no decision id: {error}.") from None
    name = next((name for name, r in load_topology().regions.items() if r.number == number), None)
    if name is None or not (home / name / "journal").is_dir():
        raise OperatorError(f"region {name or number} made that decision; its journal is not here.")
    record = find_decision(home / name / "journal", decision_id, region=number)
    if record is None:
        raise OperatorError(f"the journal of {name} does not hold {decision_id} any more, or yet.")
    return name, record


def _regions(home: Path, named: list[str] | None) -> list[str]:
    """Regions to look at.

    Raises:
        OperatorError: there is no journal of one, or of any.
    """
    found = sorted(path.parent.name for path in home.glob("*/journal"))
    missing = sorted({*(named or ())} - {*found})
    if missing or not found:
        raise OperatorError(
            f"there is no journal of {', '.join(missing) or 'any region'} in {home}."
        )
    return named or found


def _unix_ms(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() * 1_000)


def _print_report(name: str, report: Mapping[str, Any]) -> None:
    console = Console()
    verdict = "[green]as written" if report["ok"] else "[red]NOT as written"
    console.print(f"[bold]{name}[/]: {verdict}")
    counts = ("writers", "segments", "removed", "records", "unanchored", "missed")
    console.print("  " + ", ".join(f"{count} {report[count]:,}" for count in counts))
    for colour, kind in (("red", "findings"), ("dim", "notes")):
        for one in report[kind]:
            seq = "" if one["seq"] is None else f" seq {one['seq']:,}"
            console.print(f"  [{colour}]{one['file']}{seq}: {one['what']}[/]", soft_wrap=True)


def _print_record(said: Mapping[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in said.items():
        if name == "reasons":
            value = {reason["code"]: reason["text"] for reason in value}  # noqa: PLW2901
        if isinstance(value, dict):
            table.add_row(f"[bold]{name}", "")
            for part, of in value.items():
                table.add_row(f"  {part}", _shown(of))
        else:
            table.add_row(f"[bold]{name}", _shown(value))
    Console().print(table)


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.6g}"
        case str():
            return value
        case _:
            return msgspec.json.encode(value).decode()


def _print_json(what: Mapping[str, Any]) -> None:
    typer.echo(msgspec.json.encode(what).decode())
