"""What controls take out, by name: all that the command line has to know of them."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ControlName"]


class ControlName(StrEnum):
    """What is taken out."""

    BREAKER_OFF = "breaker-off"
    RUNGS_REMOVED = "rungs-removed"
    FAILOVER_OFF = "failover-off"
