"""One episode: baseline, inject, hold, remove, recover."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from chaos.engine import standstill, stolen
from chaos.engine.course import Marks
from chaos.engine.good import IN_A_ROW, failure, normal_again, steady
from chaos.engine.ground import Ground
from chaos.engine.measure import Episode, measured
from chaos.engine.primitives import enter
from chaos.engine.rig import Rig, rig
from chaos.engine.spec import Drill
from chaos.engine.watches import look, problems
from chaos.engine.wire import Body

__all__ = ["run_episode"]

POLL_S = 0.25
# The bound of recovery is judged afterwards; beyond it, it is still worth knowing.
PATIENCE = 2.0
TAIL_S = 1.0
# Connections are made and the clients learn how far every region is. What is not steady after the
# longest of it is found out as such.
WARM_UP_S = 4.0
WARM_UP_S_MAX = 60.0


def run_episode(
    ground: Ground,
    drill: Drill,
    number: int,
    *,
    bodies: tuple[Path, list[Body]],
    seed: int,
    failover: bool,
    tell: Callable[[str], None],
) -> Episode:
    """Run an episode; whatever happens, what was taken away is given back.

    Args:
        ground: the running service.
        drill: what to do.
        number: of the episode.
        bodies: the file of them, and what is in it.
        seed: of the whole run.
        failover: whether clients may go to another region.
        tell: told what begins.

    Raises:
        OperatorError: the load does not run, or a fault cannot be done.
        WorldError: a process is not back in time.
    """
    own = random.Random(f"{seed}:{drill.name}:{number}")
    with (
        stolen.watched() as taken,
        standstill.watched() as stood,
        rig(
            ground,
            drill,
            bodies=bodies[0],
            rate=drill.rate,
            seed=own.getrandbits(31),
            failover=failover,
        ) as load,
    ):
        tell("warming up")
        _warm_up(ground, drill, load)
        before = None if drill.watch is None else look(ground, drill.watch)
        start_s = time.monotonic()
        tell("baseline")
        time.sleep(drill.baseline_s + own.random() * drill.phase_s)
        marks = _through(ground, drill, load, start_s, tell)
        time.sleep(TAIL_S)
        found = (
            []
            if drill.watch is None or before is None
            else problems(drill.watch, before, look(ground, drill.watch))
        )
    return measured(
        number,
        drill,
        ground.region,
        marks=marks,
        outcomes=load.outcomes,
        said=load.said,
        ended=load.ended,
        bodies=bodies[1],
        problems=found,
        stolen=taken.worst,
        still_ms=stood.still_ms,
    )


def _warm_up(ground: Ground, drill: Drill, load: Rig) -> None:
    """Wait until callers of the drilled region are answered by it, for a while at most."""
    give_up_s = time.monotonic() + WARM_UP_S_MAX
    time.sleep(WARM_UP_S)
    while time.monotonic() < give_up_s:
        path = [one for one in load.outcomes if one.home == ground.region]
        if steady(path[-IN_A_ROW:], ground.region, drill.limit_ms):
            return
        time.sleep(POLL_S)


def _through(
    ground: Ground, drill: Drill, load: Rig, start_s: float, tell: Callable[[str], None]
) -> Marks:
    """From the fault to what there was before."""
    with ExitStack() as away:
        tell("fault")
        inject_s = time.monotonic()
        aborted = False
        for fault in sorted(drill.faults, key=lambda one: one.after_s):
            aborted = aborted or _hold(ground, drill, load, inject_s, fault.after_s)
            block = enter(ground, fault.do, fault.target, fault.options)
            away.enter_context(load.block(fault) if block is None else block)
        aborted = aborted or _hold(ground, drill, load, inject_s, drill.hold_s)
        tell("removed")
        remove_s = time.monotonic()
        away.close()
    removed_s = time.monotonic()
    tell("recovering")
    return Marks(
        start_s=start_s,
        inject_s=inject_s,
        remove_s=remove_s,
        removed_s=removed_s,
        normal_s=_normal_s(ground, drill, load, (start_s, inject_s, remove_s, removed_s)),
        aborted=aborted,
    )


def _hold(ground: Ground, drill: Drill, load: Rig, inject_s: float, until_s: float) -> bool:
    """Hold until so long after the fault. Returns whether the drill is to be given up."""
    seen = len(load.outcomes)
    while time.monotonic() < inject_s + until_s:
        recent = [one for one in load.outcomes[seen:] if one.home == ground.region]
        failed = sum(failure(one, drill.limit_ms) is not None for one in recent)
        enough = len(recent) >= drill.abort.requests_min
        if enough and failed > drill.abort.failed_share * len(recent):
            return True
        time.sleep(POLL_S)
    return False


def _normal_s(
    ground: Ground, drill: Drill, load: Rig, marks: tuple[float, float, float, float]
) -> float | None:
    """Wait until the load gets what it got before; when that was."""
    start_s, inject_s, remove_s, removed_s = marks
    before = [
        one
        for one in load.outcomes
        if one.home == ground.region and start_s <= one.due_s < inject_s
    ]
    # So many in a row have to be sent first.
    row_s = IN_A_ROW * (inject_s - start_s) / max(1, len(before))
    give_up_s = removed_s + PATIENCE * (drill.recovery_s + row_s) + TAIL_S
    while time.monotonic() < give_up_s:
        since = [
            one for one in load.outcomes if one.home == ground.region and one.due_s >= remove_s
        ]
        normal_s = normal_again(
            since, before, drill.limit_ms, as_before=drill.recovered == "as_before"
        )
        if normal_s is not None:
            return normal_s
        time.sleep(POLL_S)
    return None
