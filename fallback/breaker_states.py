"""Transitions: one small type a state.

```
            rate over threshold
   Closed ----------------------> Open <-----------+
     ^                             | time is up    | a probe fails or is slow
     |     enough good probes      v               |
     +-------------------------- HalfOpen ---------+
                                   ^
   any -- isolate() --> Isolated --+ release()
```

A state is an object made for one stay in it. A call keeps the state that admitted it, and its
result counts only while that same object is current: the object is its own generation, so a
late result cannot reach a later state.

A state is handed the instant it decides on; only the window of `Closed` reads the clock.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass
from typing import ClassVar, NoReturn, Protocol

from fallback.breaker_policy import BreakerPolicy, ChangeReason
from fallback.clock import Clock
from fallback.errors import BreakerOpen
from fallback.window import OutcomeWindow, WindowCounts

__all__ = [
    "Change",
    "Closed",
    "Context",
    "HalfOpen",
    "Isolated",
    "Open",
    "Serving",
    "State",
    "StateName",
]


class StateName(enum.StrEnum):
    """The states by name, as metrics and the operations page show them."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    ISOLATED = "isolated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all states of one breaker share."""

    name: str
    policy: BreakerPolicy
    clock: Clock
    rng: random.Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The end of a stay in a state: its successor, and why."""

    to: State
    reason: ChangeReason


class State(Protocol):
    """One stay in a state."""

    name: ClassVar[StateName]

    def admit(self, now_s: float) -> Serving | Change:
        """Itself, if the call may be made; a change, if the successor must be asked instead.

        Raises:
            BreakerOpen: if the call must not be made.
        """
        ...

    def counts(self) -> WindowCounts:
        """The evidence gathered in this stay."""
        ...


class Serving(State, Protocol):
    """A state that lets calls through and so hears how they end."""

    def settle(self, started_s: float, now_s: float, *, failed: bool, slow: bool) -> Change | None:
        """Take in the result of a call admitted at `started_s`."""
        ...

    def release(self, started_s: float) -> None:
        """Forget a call admitted at `started_s`: it ended without evidence either way."""
        ...


class Closed:
    """Calls pass and are counted; a rate over its threshold opens.

    Only a failed or slow call can open it: a success that completes the minimum number of calls
    is no reason to stop calling.

    Args:
        open_s: how long the breaker was open before this stay, before jitter; 0 if it was not.
    """

    name: ClassVar[StateName] = StateName.CLOSED
    __slots__ = ("_context", "_open_s", "_since_s", "_window")

    def __init__(self, context: Context, *, now_s: float, open_s: float) -> None:
        self._context = context
        self._since_s = now_s
        self._open_s = open_s
        self._window = OutcomeWindow(span_s=context.policy.window_s, clock=context.clock)

    def admit(self, now_s: float) -> Closed:  # noqa: ARG002 - every state is asked alike
        """Admit every call."""
        return self

    def settle(self, started_s: float, now_s: float, *, failed: bool, slow: bool) -> Change | None:  # noqa: ARG002
        """Count the result; open if it brings a rate over its threshold."""
        self._window.record(failed=failed, slow=slow)
        if not (failed or slow):
            return None
        policy = self._context.policy
        reason = policy.verdict(self._window.snapshot())
        if reason is None:
            return None
        relapsed = self._open_s > 0 and now_s - self._since_s < policy.window_s
        open_s = policy.grown(self._open_s) if relapsed else policy.open_s
        return Change(to=Open(self._context, now_s=now_s, open_s=open_s), reason=reason)

    def release(self, started_s: float) -> None:
        """Nothing was held and nothing is counted."""

    def counts(self) -> WindowCounts:
        """Outcomes in the window."""
        return self._window.snapshot()


class Open:
    """Calls are refused until the time is up; then probes decide.

    Args:
        open_s: how long to stay, before jitter.
    """

    name: ClassVar[StateName] = StateName.OPEN
    __slots__ = ("_context", "_open_s", "_until_s")

    def __init__(self, context: Context, *, now_s: float, open_s: float) -> None:
        self._context = context
        self._open_s = open_s
        self._until_s = now_s + context.policy.jittered(open_s, context.rng)

    def admit(self, now_s: float) -> Change:
        """Give way to probing once the time is up.

        Raises:
            BreakerOpen: until then.
        """
        if now_s < self._until_s:
            raise BreakerOpen("open", dependency=self._context.name)
        probing = HalfOpen(self._context, open_s=self._open_s)
        return Change(to=probing, reason=ChangeReason.OPEN_ELAPSED)

    def counts(self) -> WindowCounts:
        """No call is made, so there is no evidence."""
        return WindowCounts()


class HalfOpen:
    """A few calls at once are let through as probes; one bad one opens, enough good ones close.

    A slow probe is a bad one: closing on it would only open again on the slow-call rate. A probe
    that outlives `probe_s_max` loses its slot to another; its result still counts when it comes.

    Args:
        open_s: how long the breaker was open before this stay, before jitter.
    """

    name: ClassVar[StateName] = StateName.HALF_OPEN
    __slots__ = ("_context", "_failures", "_open_s", "_slow", "_started", "_total")

    def __init__(self, context: Context, *, open_s: float) -> None:
        self._context = context
        self._open_s = open_s
        self._started: list[float] = []
        self._total = self._failures = self._slow = 0

    def admit(self, now_s: float) -> HalfOpen:
        """Admit a probe if a slot is free.

        Raises:
            BreakerOpen: if `probes_max` probes are in flight.
        """
        policy = self._context.policy
        self._started = [at for at in self._started if now_s - at < policy.probe_s_max]
        if len(self._started) >= policy.probes_max:
            raise BreakerOpen("half open, all probes in flight", dependency=self._context.name)
        self._started.append(now_s)
        return self

    def settle(self, started_s: float, now_s: float, *, failed: bool, slow: bool) -> Change | None:
        """Open on a bad probe, close on the last good one that was missing."""
        self.release(started_s)
        self._total += 1
        self._failures += failed
        self._slow += slow
        policy = self._context.policy
        if failed or slow:
            again = Open(self._context, now_s=now_s, open_s=policy.grown(self._open_s))
            reason = ChangeReason.PROBE_FAILED if failed else ChangeReason.PROBE_SLOW
            return Change(to=again, reason=reason)
        if self._total < policy.probes_to_close:
            return None
        closed = Closed(self._context, now_s=now_s, open_s=self._open_s)
        return Change(to=closed, reason=ChangeReason.PROBES_SUCCEEDED)

    def release(self, started_s: float) -> None:
        """Give the slot back, unless it had already gone to another."""
        if started_s in self._started:
            self._started.remove(started_s)

    def counts(self) -> WindowCounts:
        """Outcomes of the probes."""
        return WindowCounts(total=self._total, failures=self._failures, slow=self._slow)


class Isolated:
    """Forced open by an operator: calls are refused until it is released."""

    name: ClassVar[StateName] = StateName.ISOLATED
    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def admit(self, now_s: float) -> NoReturn:  # noqa: ARG002 - every state is asked alike
        """Refuse every call.

        Raises:
            BreakerOpen: always.
        """
        raise BreakerOpen("isolated by an operator", dependency=self._context.name)

    def counts(self) -> WindowCounts:
        """No call is made, so there is no evidence."""
        return WindowCounts()
