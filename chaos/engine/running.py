"""Drills run one after the other, each episode kept as soon as it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from app.errors import OperatorError
from chaos.engine.bodies import ensure_bodies, read_bodies
from chaos.engine.control_names import ControlName
from chaos.engine.controls import without
from chaos.engine.episode import run_episode
from chaos.engine.ground import Ground
from chaos.engine.kept import Kept
from chaos.engine.measure import Episode
from chaos.engine.spec import Drill
from chaos.engine.stolen import wait_until_ours
from chaos.engine.verdict import STRICT, Allowed, Result, judge, taken_away, void
from chaos.engine.wire import Body
from regions.world.errors import WorldError
from regions.world.toxiproxy import ToxiproxyError

__all__ = ["Options", "Ran", "run_drill", "shaped"]

# An episode that proves nothing is run again, unless something failed in it; where the processors
# were taken away or stood still it is in any case: that depends on nothing that the service does.
AGAIN_MAX, AGAIN_TAKEN_MAX = 2, 8
SMOKE_HOLD_S = 6.0
SMOKE_RATE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How drills are run.

    Attributes:
        requests: on the faulted path in all, at least; by longer holds. None: as the drill says.
        deadline_ms: of an answer instead of the drill's.
        rate: attempts a second instead of the drill's.
        phases: episodes instead of the drill's.
        seed: of instants, attempts and draws.
        resume: go on with the episodes of a run that was cut.
        control: what is taken out, so that the drill has to fail; None for nothing.
        allowed: from outside, beyond which an episode is void.
        commit: that runs.
        kept: folder of episodes; one below the home where None.
    """

    requests: int | None = None
    deadline_ms: float | None = None
    rate: float | None = None
    phases: int | None = None
    seed: int = 7
    resume: bool = False
    control: ControlName | None = None
    allowed: Allowed = STRICT
    commit: str | None = None
    kept: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A drill that was run: what it came to, and its episodes."""

    drill: Drill
    result: Result
    episodes: Sequence[Episode]


def shaped(drill: Drill, options: Options, *, smoke: bool = False) -> Drill:
    """A drill as the options want it: another rate, more requests, or one short episode."""
    deadline_ms = options.deadline_ms or drill.deadline_ms
    if smoke:
        hold_s = max(drill.hold_s_min, min(drill.hold_s, SMOKE_HOLD_S))
        return msgspec.structs.replace(
            drill,
            phases=1,
            rate=options.rate or min(drill.rate, SMOKE_RATE),
            hold_s=hold_s,
            deadline_ms=deadline_ms,
        )
    rate, phases = options.rate or drill.rate, options.phases or drill.phases
    hold_s = drill.hold_s
    if options.requests is not None:
        share = drill.faulted_share if drill.load == "client" else 1.0
        hold_s = max(hold_s, 1.03 * options.requests / (phases * rate * share))
    return msgspec.structs.replace(
        drill, rate=rate, phases=phases, hold_s=hold_s, deadline_ms=deadline_ms
    )


def run_drill(
    ground: Ground, drill: Drill, options: Options, *, report: Callable[[float, str], None]
) -> Ran:
    """Run every episode of a drill that is not kept yet.

    Args:
        ground: the running service.
        drill: as it is to be run.
        options: see there.
        report: told the share done and what is being done.

    Raises:
        OperatorError: the load does not run, a fault cannot be done, or what was away stays away.
    """
    path = ensure_bodies(ground.home, seed=options.seed)
    bodies = (path, read_bodies(path))
    how = f"{options.commit} {ground.region} {options.control}"
    kept = Kept(
        options.kept or ground.home / "drills" / "episodes", drill, seed=options.seed, how=how
    )
    if not options.resume:
        kept.clear()
    episodes = kept.read()
    try:
        with without(ground, options.control if len(episodes) < drill.phases else None):
            for number in range(len(episodes), drill.phases):
                episodes.append(
                    _episode(ground, drill, number, bodies=bodies, options=options, report=report)
                )
                kept.add(episodes[-1])
    except (WorldError, ToxiproxyError) as error:
        raise OperatorError(f"{drill.name}: {error}.") from None
    report(1.0, drill.name)
    result = judge(drill, episodes, allowed=options.allowed)
    return Ran(drill=drill, result=result, episodes=episodes)


def _episode(
    ground: Ground,
    drill: Drill,
    number: int,
    *,
    bodies: tuple[Path, list[Body]],
    options: Options,
    report: Callable[[float, str], None],
) -> Episode:
    """Run an episode, again where it proves nothing and hides nothing."""
    share = number / drill.phases
    late = taken = taken_failed = 0
    while True:
        episode = run_episode(
            ground,
            drill,
            number,
            bodies=bodies,
            seed=options.seed,
            failover=options.control is not ControlName.FAILOVER_OFF,
            tell=lambda what: report(share, f"{drill.name} {number + 1}/{drill.phases}: {what}"),
        )
        failed = episode.failed + episode.elsewhere_failed
        away = taken_away(episode, allowed=options.allowed) is not None
        stands = taken == AGAIN_TAKEN_MAX if away else failed or late == AGAIN_MAX
        if stands or void(episode, allowed=options.allowed) is None:
            return msgspec.structs.replace(episode, again=late + taken, again_failed=taken_failed)
        if away:
            taken += 1
            taken_failed += failed
            report(share, f"{drill.name} {number + 1}/{drill.phases}: waiting for the processors")
            wait_until_ours(options.allowed.stolen)
        else:
            late += 1
