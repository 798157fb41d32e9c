"""What command lines share: options, a progress bar, facts as a table or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = [
    "DataOption",
    "HomeOption",
    "JsonOption",
    "MappingOption",
    "print_json",
    "print_said",
    "progress",
    "shown",
]

HomeOption = Annotated[
    Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder of all state and logs.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of a simulated history, or with --mapping any Parquet or CSV; "
        "HOME/data by default."
    ),
]
MappingOption = Annotated[
    Path | None, typer.Option(help="File that says what the columns of --data are.")
]


@contextmanager
def progress(*, json: bool) -> Iterator[Callable[[float, str], None]]:
    """A progress bar: call what it yields with the share done and what is being done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=json), transient=True) as progress:
        task = progress.add_task("", total=1.0)

        def report(done: float, what: str) -> None:
            progress.update(task, completed=done, description=what)

        yield report


def print_said(said: Mapping[str, Any], *, json: bool) -> None:
    """Print facts as a table, or as one JSON object."""
    if json:
        print_json(said)
        return
    table = Table(show_header=False, box=None)
    for name, value in said.items():
        table.add_row(f"[bold]{name}", shown(value))
    Console().print(table)


def shown(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case float():
            return f"{value:.4g}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case dict():
            return ", ".join(f"{name} {shown(of)}" for name, of in value.items())
        case list():
            return "; ".join(shown(of) for of in value) or "-"
        case None:
            return "-"
        case _:
            return str(value)


def print_json(what: Any) -> None:
    """Print one JSON object."""
    typer.echo(msgspec.json.encode(what).decode())
