"""Which rung a request can afford while there is more traffic than the full rung can take.

A process that is asked for more than it can do builds a queue, and a queue in front of a deadline
turns every answer late. So some requests are sent to rungs that cost less, as few as keep the
queue short:

    depth   0 .. number of rungs - 1;  of requests that come at depth 1.3, 70 % start from the
            second rung and 30 % from the third, evenly mixed
    every tick, with delay = the least queueing delay of the last `ticks` ticks (of the event loop,
    or of the oldest request that has not begun):
            delay > target:   depth += min(rise * (delay / target - 1), rise_max)
            else:             depth -= fall

That takes a few ticks. Until then, and whenever more come at once than can be worked on in time,
requests that begin together stand in for a queue, behind those that cannot begin yet: of all of
them, `together_max` start as the depth says, and the rest from the last rung. So the first batch
that leaves others waiting is a cheap one.

Why the least of several delays: a burst that drains by itself is no overload; a queue that never
empties is (the signal of CoDel: Nichols and Jacobson, "Controlling Queue Delay", 2012). Why a
share and not a limit on concurrency: requests of one event loop are worked on in batches, so how
many are in flight says more of the batch than of the load. Rising in proportion and falling at a
steady rate is what keeps additive-increase controllers stable (Chiu and Jain, 1989); turning down
what is optional in each answer rather than refusing some is brownout (Klein et al., 2014).

Nothing is refused here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from fallback.rung import RungName

__all__ = ["Pressure", "PressureSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PressureSettings:
    """Limits of the controller; figures for ticks of 20 ms.

    Attributes:
        target_ms: queueing delay that is no overload; > 0. An eighth of the deadline.
        ticks: of which the least delay counts, at least 1.
        rise: depth a tick for each multiple of the target that the delay is above it.
        rise_max: most of that, so that one stall does not empty the upper rungs.
        fall: depth a tick while the delay is short; from the lowest rung to the full one takes
            (rungs - 1) / fall ticks.
        together_max: requests that begin together, less those that wait meanwhile, which may start
            above the last rung, at least 1.
    """

    target_ms: float = 10.0
    ticks: int = 3
    rise: float = 0.05
    rise_max: float = 0.3
    fall: float = 0.02
    together_max: int = 48

    def __post_init__(self) -> None:
        if not self.target_ms > 0:
            raise ValueError("target_ms must be above 0")
        if self.ticks < 1:
            raise ValueError("ticks must be at least 1")
        if not (0 < self.rise <= self.rise_max and self.fall > 0):
            raise ValueError("rise, rise_max and fall must be above 0, and rise not above rise_max")
        if self.together_max < 1:
            raise ValueError("together_max must be at least 1")


class Pressure:
    """The controller of one process. For one thread: the event loop's.

    Attributes:
        depth: 0 for no pressure, `len(rungs) - 1` for the last rung alone.
        turned_down: requests that started below the top: the counter of this limit.
    """

    def __init__(
        self,
        settings: PressureSettings | None = None,
        *,
        rungs: Sequence[RungName] = tuple(RungName),
    ) -> None:
        """Start without pressure.

        Args:
            settings: the limits; the defaults where none are given.
            rungs: that requests may start from, each costing less than the one before it.
        """
        self._settings = settings or PressureSettings()
        self._rungs = tuple(rungs)
        self._together = 0
        self._delays_ms: deque[float] = deque(maxlen=self._settings.ticks)
        self._carried = 0.0
        self.depth = 0.0
        self.turned_down = 0

    def tick(self, delay_ms: float) -> None:
        """Tell the queueing delay of this tick, milliseconds."""
        settings = self._settings
        self._delays_ms.append(delay_ms)
        over = min(self._delays_ms) / settings.target_ms - 1.0
        if over > 0 and len(self._delays_ms) == settings.ticks:
            self.depth += min(settings.rise * over, settings.rise_max)
        else:
            self.depth -= settings.fall
        self.depth = min(max(self.depth, 0.0), len(self._rungs) - 1.0)

    def begin(self, behind: int = 0) -> None:
        """Requests that come together begin now, while so many others cannot begin yet."""
        self._together = behind

    def highest(self) -> RungName:
        """The rung that the next live request starts from.

        Shares are kept by carrying what a whole rung is short of to the next request, so that
        every few requests in a row have them, with no luck in it.
        """
        at = self._by_depth()
        if at < len(self._rungs) - 1:
            self._together += 1
            if self._together > self._settings.together_max:
                at = len(self._rungs) - 1
        if at:
            self.turned_down += 1
        return self._rungs[at]

    def _by_depth(self) -> int:
        if not self.depth:
            self._carried = 0.0
            return 0
        whole = int(self.depth)
        self._carried += self.depth - whole
        if self._carried >= 1.0:
            self._carried -= 1.0
            whole += 1
        return whole
