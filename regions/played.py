"""One play from the history to its figures: to a region of our own, or to a service that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import OperatorError
from app.features.sets import feature_set
from app.models.artifact import Artifact, load_artifact
from app.models.training.mapped import read_history
from app.play.answers import SCORED, Answers, Verdicts
from app.play.offline import offline_verdicts
from app.play.pace import Pace
from app.play.plot import write_plot
from app.play.report import Report, book_rows, rankable_rows, report_of
from app.play.running import model_of_replays, play_to_running
from app.play.script import Script, script_of
from app.publish import current
from fallback.rung import RungName
from regions.play import play_to_own_region
from regions.world.errors import WorldError
from regions.world.settings import load_settings

__all__ = ["Material", "Played", "to_own_region", "to_running"]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is played, and compared with.

    Attributes:
        data: a history.
        mapping: which columns of it are what; None of a simulated one.
        warm_from_day: first day of the warm-up, counted from the epoch, if there is one.
        from_day: first day posted.
        to_day: last day posted.
        models: where the model is published; there wherever there is a warm-up.
        tell: told the share done and what is being done.
    """

    data: Path
    mapping: Path | None
    warm_from_day: int | None
    from_day: int
    to_day: int
    models: Path | None
    tell: Callable[[float, str], None]

    def script(self) -> Script:
        """Read the history and cut it.

        Raises:
            HistoryError: it cannot be used, or not be measured on.
        """
        self.tell(0.0, "reading the history")
        script = script_of(
            read_history(self.data, self.mapping),
            warm_from_day=self.warm_from_day,
            from_day=self.from_day,
            to_day=self.to_day,
        )
        rankable_rows(script)  # said before a play that could not be measured
        return script

    def artifact(self) -> Artifact:
        """The models in force."""
        assert self.models is not None
        return load_artifact(self.models, current(self.models))

    def offline(self, script: Script, artifact: Artifact, rung: RungName) -> Verdicts:
        """What a rung says of the script's attempts offline."""
        self.tell(0.02, "verdicts offline")
        return offline_verdicts(script, feature_set(artifact.facts.features), artifact, rung)

    def posting(self, share: float, what: str) -> None:
        """Tell how far the play itself is."""
        self.tell(0.05 + 0.95 * share, what)


@dataclass(frozen=True, kw_only=True)
class Played:
    """What was played and what came back; the attributes are those of `report_of`."""

    script: Script
    answers: Answers
    offline: Verdicts | None
    rung: RungName | None
    pace: Pace
    took_s: float
    model: str | None

    def report(self) -> Report:
        """Measure it."""
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
        """Draw precision over recall.

        Raises:
            OperatorError: the file cannot be written.
        """
        rows, rung = book_rows(self.script), self.rung or RungName.FULL
        write_plot(
            plot,
            served=self.answers.verdicts.ranking(rung)[rows],
            offline=None if self.offline is None else self.offline.ranking(rung)[rows],
            fraud=self.script.history.fraud[rows],
            title=f"{title}: {len(rows):,} attempts",
        )


def to_own_region(
    material: Material,
    rung: RungName,
    *,
    lockstep: bool,
    rate: float,
    deadline_ms: int,
    environ: Mapping[str, str],
) -> Played:
    """Play to a region that is brought up for it.

    Args:
        material: with a warm-up.
        rung: highest that may answer.
        lockstep: let every attempt wait for what came before it.
        rate: attempts a second otherwise.
        deadline_ms: of the region.
        environ: says which ports, how many workers.

    Raises:
        OperatorError: the history cannot be used, or the region does not run or follow.
    """
    artifact, script = material.artifact(), material.script()
    assert material.models is not None
    offline = material.offline(script, artifact, rung)
    pace = Pace(lockstep=lockstep, rate=rate, deadline_ms=deadline_ms)
    try:
        answers, took_s = play_to_own_region(
            script,
            artifact,
            models=material.models,
            settings=load_settings(environ=environ, folder=Path.cwd()),
            rung=rung,
            pace=pace,
            report=material.posting,
        )
    except WorldError as error:
        raise OperatorError(str(error)) from None
    return Played(
        script=script,
        answers=answers,
        offline=offline,
        rung=rung,
        pace=pace,
        took_s=took_s,
        model=artifact.version if rung in SCORED else None,
    )


def to_running(material: Material, apis: Sequence[str], *, key: str, rate: float) -> Played:
    """Play to a service that runs in replay mode.

    Args:
        material: compared with the full rung offline where it has a warm-up.
        apis: addresses of the service, used in turn.
        key: API key that may decide, and take outcomes and labels.
        rate: attempts a second.

    Raises:
        OperatorError: the service is not in replay mode, or the history cannot be used.
    """
    model = model_of_replays(apis)  # before anything that takes time
    script, offline = material.script(), None
    if material.models is not None:
        offline = material.offline(script, material.artifact(), RungName.FULL)
    pace = Pace(lockstep=False, rate=rate, deadline_ms=None)
    answers, took_s = play_to_running(script, apis, key=key, pace=pace, report=material.posting)
    return Played(
        script=script,
        answers=answers,
        offline=offline,
        rung=None,
        pace=pace,
        took_s=took_s,
        model=model,
    )
