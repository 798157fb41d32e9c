"""How long the phases of a training took, on how many rows, and what memory they needed."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Phase", "Phases", "peak_memory_bytes"]


def peak_memory_bytes() -> int:
    """Most memory that this process ever had resident (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase.

    Attributes:
        name: unique within a run.
        took_s: since the phase before it ended, seconds.
        rows: that it worked on.
        peak_memory_bytes: of the process, up to the phase's end.
    """

    name: str
    took_s: float
    rows: int
    peak_memory_bytes: int


class Phases:
    """A stop watch: each phase begins where the one before it ended, so that no time is lost."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        peak: Callable[[], int] = peak_memory_bytes,
    ) -> None:
        """Start the first phase.

        Args:
            clock: monotonic, seconds.
            peak: memory, bytes.
        """
        self._clock, self._peak = clock, peak
        self._since_s = clock()
        self._ended: list[Phase] = []

    def end(self, name: str, *, rows: int) -> None:
        """End the phase that is under way, and begin the next."""
        now_s = self._clock()
        took_s = now_s - self._since_s
        phase = Phase(name=name, took_s=took_s, rows=rows, peak_memory_bytes=self._peak())
        self._ended.append(phase)
        self._since_s = now_s

    def said(self) -> dict[str, Any]:
        """As `--json` prints them.

        Returns:
            `took_s`, `rows` and `peak_so_far_bytes` by phase, and `peak_memory_bytes`.
        """
        return {
            "took_s": {phase.name: round(phase.took_s, 1) for phase in self._ended},
            "rows": {phase.name: phase.rows for phase in self._ended},
            "peak_so_far_bytes": {phase.name: phase.peak_memory_bytes for phase in self._ended},
            "peak_memory_bytes": self._peak(),
        }
