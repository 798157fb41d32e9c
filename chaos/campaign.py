"""A campaign: every drill, the controls, pairs of faults and the drills apart, kept as they end.

What is finished is not done again: each campaign has a folder that keeps its results and episodes.
One that was cut goes on, at the same commit and seed; another one begins anew.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from app.errors import OperatorError
from chaos.apart_commands import DRILLS as APART
from chaos.engine.control_names import ControlName
from chaos.engine.controls import CONTROLS
from chaos.engine.ground import Ground
from chaos.engine.pairs import pairs
from chaos.engine.results import (
    Apart,
    Results,
    Told,
    begun,
    ended,
    merged,
    read_results,
    told,
    write_results,
)
from chaos.engine.running import Options, run_drill, shaped
from chaos.engine.spec import Drill

__all__ = ["RESULTS", "Campaign", "campaign_folder", "run_again", "run_campaign"]

RESULTS = "results.json"
APART_S_MAX = 1_800.0

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What is run; of controls and pairs one episode each.

    Attributes:
        drills: of the matrix.
        options: of every run.
        pairs: how many.
        smoke: one short episode each.
        apart: drills with figures of their own, by name.
    """

    drills: Sequence[Drill]
    options: Options
    pairs: int
    smoke: bool
    apart: Sequence[str] = tuple(APART)


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    run: Callable[[Report], None]


def campaign_folder(root: Path, options: Options) -> Path:
    """The folder of the campaign that goes on, or of a new one of today.

    Args:
        root: of all campaigns.
        options: of this one.
    """
    for path in sorted(root.glob(f"*/{RESULTS}"), reverse=True):
        found = read_results(path)
        if found.ended_at is None and (found.commit, found.seed) == (options.commit, options.seed):
            return path.parent
    today = datetime.now(UTC).date().isoformat()
    names = (today, *(f"{today}-{number}" for number in range(2, 1_000)))
    return next(root / name for name in names if not (root / name).exists())


def run_campaign(ground: Ground, campaign: Campaign, folder: Path, *, report: Report) -> Results:
    """Run what is not finished yet; after each step the results are in the folder.

    What cannot be run is kept as such, and the campaign goes on.

    Raises:
        OperatorError: what runs cannot be drilled so, or the results cannot be kept.
    """
    _require(ground, campaign.drills)
    path = folder / RESULTS
    options = campaign.options
    results = (
        read_results(path) if path.exists() else begun(commit=options.commit, seed=options.seed)
    )
    # Told anew from the episodes, which costs nothing.
    results.drills, results.controls, results.pairs, results.errors = [], [], [], {}
    write_results(path, results)
    steps = list(_steps(ground, _kept(campaign, folder, resume=True), results))
    for _ in _taken(steps, results, report):
        write_results(path, results)
    ended(results)
    write_results(path, results)
    return results


def run_again(ground: Ground, campaign: Campaign, folder: Path, *, report: Report) -> Results:
    """Run again, once, what did not come out of an ended campaign as it has to.

    What there was stays in the results and in their sums: a mend takes no failure back.

    Raises:
        OperatorError: there are no results, or the campaign was cut; what runs cannot be drilled
            so, or the results cannot be kept.
    """
    path = folder / RESULTS
    before = read_results(path)
    if before.ended_at is None:
        raise OperatorError(f"the campaign in {folder} was cut; 'make campaign' goes on with it.")
    _require(ground, campaign.drills)
    now = begun(commit=campaign.options.commit, seed=campaign.options.seed)
    every = _steps(ground, _kept(campaign, folder, resume=False), now)
    steps = [step for step in every if step.name in before.unexpected]
    for _ in _taken(steps, now, report):
        write_results(path, merged(before, now))
    return merged(before, now)


def _kept(campaign: Campaign, folder: Path, *, resume: bool) -> Campaign:
    """The campaign, its episodes kept in its folder, and gone on with or made anew."""
    options = replace(campaign.options, resume=resume, kept=folder / "episodes")
    return replace(campaign, options=options)


def _taken(steps: Sequence[_Step], results: Results, report: Report) -> Iterator[None]:
    """Take step by step, and say so after each."""
    for number, step in enumerate(steps):

        def within(share: float, what: str, number: int = number) -> None:
            report((number + share) / len(steps), what)

        try:
            step.run(within)
        except OperatorError as error:
            results.errors[step.name] = str(error)
        yield


def _steps(ground: Ground, campaign: Campaign, results: Results) -> Iterator[_Step]:
    options = campaign.options

    def drill(
        one: Drill,
        into: list[Told],
        *,
        control: ControlName | None = None,
        phases: int | None = None,
    ) -> _Step:
        own = replace(options, control=control, phases=phases)
        shape = shaped(one, own, smoke=campaign.smoke)

        def run(report: Report) -> None:
            into.append(told(run_drill(ground, shape, own, report=report), control))

        return _Step(one.name if control is None else control, run)

    by_name = {one.name: one for one in campaign.drills}
    for one in campaign.drills:
        yield drill(one, results.drills)
    for name, control in CONTROLS.items():
        if control.drill in by_name:
            yield drill(by_name[control.drill], results.controls, control=name, phases=1)
    for pair in pairs(campaign.drills, campaign.pairs, seed=options.seed):
        yield drill(pair, results.pairs, phases=1)
    known = {one.name for one in results.apart}
    for apart in campaign.apart:
        if apart not in known:
            yield _Step(apart, partial(_apart, ground, apart, results))


def _apart(ground: Ground, name: str, results: Results, report: Report) -> None:
    """Run a drill apart by its own command.

    Raises:
        OperatorError: it does not go through.
    """
    report(0.0, name)
    command = [sys.executable, "-c", "from app.cli import main; main()", "drill", "run", name]
    with subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--home", str(ground.home), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said, complaint = process.communicate(timeout=APART_S_MAX)
        except BaseException:
            process.terminate()  # it gives back what it took away
            raise
    try:
        found = msgspec.json.decode(said, type=dict)
    except msgspec.MsgspecError:
        last = complaint.strip().splitlines()[-1:]
        raise OperatorError(f"{name} did not go through: {' '.join(last)}") from None
    results.apart.append(
        Apart(name=name, title=APART[name], passed=bool(found["passed"]), found=found)
    )


def _require(ground: Ground, drills: Sequence[Drill]) -> None:
    """What runs has every link that is cut, and other regions.

    Raises:
        OperatorError: it has not.
    """
    if len(ground.regions) < 2:
        raise OperatorError("a campaign needs two regions at least, and one runs.")
    ground.network()
    cut = {
        ground.named(fault.target)
        for one in drills
        for fault in one.faults
        if fault.do.startswith("link_")
    }
    names = [link.name for link in ground.plan.links]
    if any(not any(name.startswith(target) for name in names) for target in cut):
        raise OperatorError(
            "a region's own stores have no proxies before them, so that they cannot be cut off; "
            "start with STEPDOWN_PROXIED=all."
        )
