"""The command that plays a history to a service and measures it: `play`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from app.command_line import progress
from app.errors import OperatorError
from fallback.rung import RungName

__all__ = ["play"]

PATIENT_MS, PROMPT_MS = 1_000, 80
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as the days of the command line are


def play(
    data: Annotated[
        Path,
        typer.Option(help="Folder of a simulated history, or with --mapping any Parquet or CSV."),
    ],
    from_: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day posted.")
    ],
    to: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day posted.")],
    warm_from: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="First day that is loaded before; at least 45 days earlier. With --api the first "
            "day that its operator loaded: scores are then compared with those from the history.",
        ),
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="Which columns are what (YAML).")] = None,
    rung: Annotated[
        RungName | None,
        typer.Option(
            help="Highest rung that may answer, full by default; what those above it need is "
            "taken away."
        ),
    ] = None,
    lockstep: Annotated[
        bool, typer.Option("--lockstep", help="Let every attempt wait for what came before it.")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=1.0, help="Attempts a second, without --lockstep.")
    ] = 200.0,
    deadline_ms: Annotated[
        int | None,
        typer.Option(
            min=20,
            max=1_000,
            help="Deadline of the service; 80, and 1000 in lockstep, where no score may be lost.",
        ),
    ] = None,
    api: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Play to this service, which runs in replay mode already; repeatable.",
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="File with the API key for --api; else it is in STEPDOWN_API_KEY."),
    ] = None,
    home: Annotated[
        Path, typer.Option(envvar="STEPDOWN_HOME", help="Folder whose model decides.")
    ] = Path(".stepdown"),
    plot: Annotated[Path | None, typer.Option(help="SVG file: precision over recall.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Play days of a history to a region of its own, and measure what it answers.

    The region runs in replay mode, in a folder of its own that is removed afterwards, on the ports
    of STEPDOWN_PORT_BASE. Outcomes and labels are delivered when they arrive, also of attempts
    before. With --api a service plays that runs already; it must be in replay mode.
    """
    own = {"--rung": rung, "--lockstep": lockstep, "--deadline-ms": deadline_ms}
    _refuse_mixtures(own, rung=rung, warmed=warm_from is not None, api=api, key_file=key_file)
    key = _key(key_file) if api else ""
    # What can be said at once is said before the training libraries are loaded.
    models = _models(home) if warm_from is not None else None
    from regions.played import Material, to_own_region, to_running

    with progress(json=json) as tell:
        material = Material(
            data=data,
            mapping=mapping,
            warm_from_day=None if warm_from is None else (warm_from - EPOCH).days,
            from_day=(from_ - EPOCH).days,
            to_day=(to - EPOCH).days,
            models=models,
            tell=tell,
        )
        if api:
            played = to_running(material, api, key=key, rate=rate)
        else:
            played = to_own_region(
                material,
                rung or RungName.FULL,
                lockstep=lockstep,
                rate=rate,
                deadline_ms=deadline_ms or (PATIENT_MS if lockstep else PROMPT_MS),
                environ=os.environ,
            )
    report = played.report()
    if plot is not None:
        played.draw(plot, f"{data.name}, {from_:%Y-%m-%d} to {to:%Y-%m-%d}")
    if json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    from app.play.shown import print_report

    print_report(report)


def _refuse_mixtures(
    own: Mapping[str, object],
    *,
    rung: RungName | None,
    warmed: bool,
    api: list[str] | None,
    key_file: Path | None,
) -> None:
    """Refuse options that contradict each other; `own` are those of a region of our own."""
    given = [name for name, value in own.items() if value]
    if api and given:
        raise OperatorError(f"{given[0]} is of a region that play starts itself, and --api is not.")
    if api:
        return
    if not warmed:
        raise OperatorError("--warm-from is missing: the first day that is loaded before.")
    if key_file is not None:
        raise OperatorError("--key-file is for a service that runs already; name it with --api.")
    if own["--lockstep"] and rung not in {None, RungName.FULL}:
        raise OperatorError("--lockstep waits for the counters, which no rung but full reads.")


def _models(home: Path) -> Path:
    """Where the home's models are published.

    Raises:
        PublicationError: none is in force.
    """
    from app.publish import current
    from app.registry import Registry

    models = Registry(home).folder / "model"
    current(models)
    return models


def _key(path: Path | None) -> str:
    """The API key for a running service."""
    if path is not None:
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise OperatorError(f"{path} cannot be read: {error}.") from None
    if key := os.environ.get("STEPDOWN_API_KEY"):
        return key
    raise OperatorError("set STEPDOWN_API_KEY, or name a file with the key by --key-file.")
