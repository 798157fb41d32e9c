"""Two faults at once: pairs of drills, drawn at random, whose faults do not break the same.

Nobody has thought of most pairs, so no rung is asked for: only that every attempt is answered in
time, and that all is as before when both faults are gone.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations

import msgspec

from chaos.engine.spec import Drill, Fault

__all__ = ["paired", "pairs", "touched"]

# The second fault comes that much later.
APART_S = 2.0
# What a fault breaks, by how its target begins; the first that fits.
_PARTS = {
    "store:{region}:": "datastore",
    "{region}/datastore": "datastore",
    "{region}/published/": "published",
    "replication:": "replication",
}


def pairs(drills: Iterable[Drill], number: int, *, seed: int) -> list[Drill]:
    """So many pairs, or as many as there are; the same for the same seed.

    Args:
        drills: to draw from.
        number: of pairs.
        seed: of the draw.
    """
    alone = [one for one in drills if _can_be_paired(one)]
    fit = [(one, other) for one, other in combinations(alone, 2) if _fit(one, other)]
    drawn = random.Random(seed).sample(fit, min(number, len(fit)))
    return [paired(one, other) for one, other in drawn]


def paired(one: Drill, other: Drill) -> Drill:
    """One drill of two: the faults of both, and the patience for both."""
    later = tuple(
        msgspec.structs.replace(fault, after_s=fault.after_s + APART_S) for fault in other.faults
    )
    return Drill(
        name=f"{one.name}+{other.name}",
        title=f"{one.title}; and {other.title}",
        rows=tuple(sorted({*one.rows, *other.rows})),
        hypothesis="Still a decision for every attempt in time.",
        fis=f"{one.fis}; {other.fis}",
        load="region",
        rate=min(one.rate, other.rate),
        phases=min(one.phases, other.phases),
        hold_s=max(one.hold_s, other.hold_s) + APART_S,
        hold_s_min=max(one.hold_s_min, other.hold_s_min) + APART_S,
        recovery_s=one.recovery_s + other.recovery_s,
        allowed_failed=one.allowed_failed + other.allowed_failed,
        faults=(*one.faults, *later),
    )


def touched(fault: Fault) -> str:
    """What a fault breaks: two that break the same are no pair."""
    for start, part in _PARTS.items():
        if fault.target.startswith(start):
            return part
    return fault.target


def _can_be_paired(drill: Drill) -> bool:
    """Whether it is of one region's path, and not several faults by itself."""
    return drill.load == "region" and len({touched(fault) for fault in drill.faults}) == 1


def _fit(one: Drill, other: Drill) -> bool:
    broken = {touched(fault) for fault in one.faults}
    return broken.isdisjoint(touched(fault) for fault in other.faults)
