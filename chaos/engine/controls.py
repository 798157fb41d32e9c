"""Negative controls: one protection is taken out, and the drill of it has to turn red.

    breaker-off    breakers count and never open: each attempt pays the time-out of a mute store
    rungs-removed  nothing below the full rung: where that has no answer, there is none
    failover-off   clients stay with their region, and try once

A drill that would pass all the same shows nothing, and a campaign that has one is not passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.engine.control_names import ControlName
from chaos.engine.ground import Ground
from chaos.engine.processes import READY_S

__all__ = ["CONTROLS", "Control", "without"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A control.

    Attributes:
        drill: that has to turn red, where none is named.
        weakened: setting of the scorers; None where it is the clients that lack something.
    """

    drill: str
    weakened: str | None = None


CONTROLS: Mapping[ControlName, Control] = {
    ControlName.BREAKER_OFF: Control(drill="datastore-mute", weakened="breakers"),
    ControlName.RUNGS_REMOVED: Control(drill="all-stores-refused", weakened="lower-rungs"),
    ControlName.FAILOVER_OFF: Control(drill="region-killed"),
}


@contextmanager
def without(ground: Ground, control: ControlName | None) -> Iterator[None]:
    """All scorers run weakened as a control wants it; afterwards they are as they were.

    Raises:
        WorldError: a scorer is not ready in time.
    """
    weakened = None if control is None else CONTROLS[control].weakened
    if weakened is None:
        yield
        return
    _restart(ground, {"STEPDOWN_WEAKENED": weakened})
    try:
        yield
    finally:
        _restart(ground, {})


def _restart(ground: Ground, environment: Mapping[str, str]) -> None:
    names = [f"{region}/scorer" for region in ground.regions]
    for name in names:
        ground.world.hold(name, "SIGTERM")
        ground.world.release(name, environment)
    for name in names:
        ground.world.wait_ready(name, timeout_s=READY_S)
