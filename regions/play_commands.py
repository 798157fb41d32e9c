"""The command that plays a history to a service and measures it: `play`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from app.command_line import progress
from app.errors import OperatorError
from fallback.rung import RungName
from regions.world.errors import WorldError

if TYPE_CHECKING:
    from app.play.answers import Answers, Verdicts
    from app.play.pace import Pace
    from app.play.report import Report
    from app.play.script import Script

__all__ = ["play"]

PATIENT_MS, PROMPT_MS = 1_000, 80
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as the days of the command line are

Tell = Callable[[float, str], None]


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
    material = _Material(
        data=data,
        mapping=mapping,
        warm_from_day=None if warm_from is None else (warm_from - EPOCH).days,
        from_day=(from_ - EPOCH).days,
        to_day=(to - EPOCH).days,
        home=home,
    )
    with progress(json=json) as tell:
        if api:
            played = _to_running(material, api, key=_key(key_file), rate=rate, tell=tell)
        else:
            patience_ms = PATIENT_MS if lockstep else PROMPT_MS
            played = _to_own_region(
                material,
                rung or RungName.FULL,
                lockstep=lockstep,
                rate=rate,
                deadline_ms=deadline_ms or patience_ms,
                tell=tell,
            )
    report = played.report()
    if plot is not None:
        played.draw(plot, f"{data.name}, {from_:%Y-%m-%d} to {to:%Y-%m-%d}")
    if json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    from app.play.shown import print_report

    print_report(report)


@dataclass(frozen=True, kw_only=True)
class _Material:
    """What is played and compared with; days are counted from the epoch."""

    data: Path
    mapping: Path | None
    warm_from_day: int | None
    from_day: int
    to_day: int
    home: Path

    @property
    def models(self) -> Path:
        """Where models are published."""
        from app.registry import Registry

        return Registry(self.home).folder / "model"

    def script(self) -> Script:
        """Read the history and cut it.

        Raises:
            HistoryError: it cannot be used, or not be measured on.
        """
        from app.models.training.mapped import read_history
        from app.play.report import rankable_rows
        from app.play.script import script_of

        script = script_of(
            read_history(self.data, self.mapping),
            warm_from_day=self.warm_from_day,
            from_day=self.from_day,
            to_day=self.to_day,
        )
        rankable_rows(script)  # said before a play that could not be measured
        return script


@dataclass(frozen=True, kw_only=True)
class _Played:
    """What was played, and what came back."""

    script: Script
    answers: Answers
    offline: Verdicts | None
    rung: RungName | None
    pace: Pace
    took_s: float
    model: str | None

    def report(self) -> Report:
        """Measure it."""
        from app.play.report import report_of

        return report_of(
            self.script,
            self.answers,
            self.offline,
            rung=self.rung,
            pace=self.pace,
            took_s=self.took_s,
            model=self.model,
        )

    def draw(self, plot: Path, title: str) -> None:
        """Draw it."""
        from app.play.plot import write_plot
        from app.play.report import book_rows

        rows, rung = book_rows(self.script), self.rung or RungName.FULL
        write_plot(
            plot,
            served=self.answers.verdicts.ranking(rung)[rows],
            offline=None if self.offline is None else self.offline.ranking(rung)[rows],
            fraud=self.script.history.fraud[rows],
            title=f"{title}: {len(rows):,} attempts",
        )


def _to_own_region(
    material: _Material,
    rung: RungName,
    *,
    lockstep: bool,
    rate: float,
    deadline_ms: int,
    tell: Tell,
) -> _Played:
    from app.publish import current

    version = current(material.models)  # said before the training libraries are loaded
    from app.features.sets import feature_set
    from app.models.artifact import load_artifact
    from app.play.answers import SCORED
    from app.play.offline import offline_verdicts
    from app.play.pace import Pace
    from regions.play import play_to_own_region
    from regions.world.settings import load_settings

    artifact = load_artifact(material.models, version)
    pace = Pace(lockstep=lockstep, rate=rate, deadline_ms=deadline_ms)
    tell(0.0, "reading the history")
    script = material.script()
    tell(0.02, "verdicts offline")
    offline = offline_verdicts(script, feature_set(artifact.facts.features), artifact, rung)
    try:
        answers, took_s = play_to_own_region(
            script,
            artifact,
            models=material.models,
            settings=load_settings(environ=os.environ, folder=Path.cwd()),
            rung=rung,
            pace=pace,
            report=lambda share, what: tell(0.05 + 0.95 * share, what),
        )
    except WorldError as error:
        raise OperatorError(str(error)) from None
    return _Played(
        script=script,
        answers=answers,
        offline=offline,
        rung=rung,
        pace=pace,
        took_s=took_s,
        model=version if rung in SCORED else None,
    )


def _to_running(
    material: _Material, apis: list[str], *, key: str, rate: float, tell: Tell
) -> _Played:
    from app.play.running import model_of_replays, play_to_running

    model = model_of_replays(apis)  # before anything that takes time
    from app.features.sets import feature_set
    from app.models.artifact import load_artifact
    from app.play.offline import offline_verdicts
    from app.play.pace import Pace
    from app.publish import current

    tell(0.0, "reading the history")
    script, offline = material.script(), None
    if material.warm_from_day is not None:
        tell(0.02, "verdicts offline")
        artifact = load_artifact(material.models, current(material.models))
        features = feature_set(artifact.facts.features)
        offline = offline_verdicts(script, features, artifact, RungName.FULL)
    pace = Pace(lockstep=False, rate=rate, deadline_ms=None)
    answers, took_s = play_to_running(
        script,
        apis,
        key=key,
        pace=pace,
        report=lambda share, what: tell(0.05 + 0.95 * share, what),
    )
    return _Played(
        script=script,
        answers=answers,
        offline=offline,
        rung=None,
        pace=pace,
        took_s=took_s,
        model=model,
    )


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
