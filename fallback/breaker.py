"""A sliding-window circuit breaker for one dependency, in one process, on one event loop.

    breaker = Breaker("counters-eu", clock=clock, rng=random.Random(seed), listener=telemetry)

    with breaker.call():                      # BreakerOpen: not asked, take the next rung
        values = await datastore.mget(keys)   # DependencyError: evidence against it

Why: while a datastore is down, each attempt that asks it burns a timeout out of 80 ms and adds
load to something that is trying to come back. The breaker learns that from a few calls, refuses
the rest in two microseconds, and finds out with a few probes that it is back.

The parts are kept apart: `window` counts, `breaker_policy` decides (with the formulas),
`breaker_states` holds one type a state; this module admits, classifies and announces.

| the call ends with | counted as | half open |
|---|---|---|
| no exception, within `slow_call_ms` | success | one step towards closed |
| no exception, later than that | slow | opens again |
| a `RungError` that trips (`DependencyError`) | failure, and slow if it was | opens again |
| any other `RungError`, cancellation, a bug | nothing | slot given back |

Regimes:

- **Healthy**: closed. Costs two clock readings and one window update a call.
- **Dead or black hole**: opens on the failure rate. The call must bring its own timeout, shorter
  than the deadline: a call that is cancelled instead is no evidence, since a client that went
  away says nothing of the datastore.
- **Slow but correct**: opens on the slow-call rate, before it takes the deadline with it.
- **A few per cent of errors**: stays closed; each failed attempt steps down for itself.
- **Flapping**: every opening within `window_s` of closing, and every failed probe, doubles the
  time it stays open, up to `open_s_max`. The state then changes at the pace of `open_s_max`,
  not at that of requests.
- **Recovery**: `probes_max` calls at once, `probes_to_close` good ones close it. A probe that
  never returns loses its slot after `probe_s_max`.
- **Light traffic**: fewer than `minimum_calls` in a window never open it.

State is per process: no shared store stands between a call and its breaker. Not thread-safe.
Admission and settlement contain no `await`, so on one event loop they cannot interleave and
need no lock, and none is held round the call. Calls from another thread need another breaker.

Source: the circuit breaker of Nygard, "Release It!"; windows, slow calls, half-open probes and
isolation in the terms of Polly and resilience4j.
"""

from __future__ import annotations

import random
from types import TracebackType
from typing import NamedTuple

from fallback.breaker_policy import BreakerPolicy, ChangeReason
from fallback.breaker_states import (
    Change,
    Closed,
    Context,
    HalfOpen,
    Isolated,
    Serving,
    State,
    StateName,
)
from fallback.clock import Clock
from fallback.errors import BreakerOpen, RungError
from fallback.events import BreakerChanged, Listener, SafeListener, ignore
from fallback.window import WindowCounts

__all__ = ["Admission", "Breaker", "BreakerPolicy", "Call"]


class Admission(NamedTuple):
    """Leave to make one call.

    Attributes:
        state: the stay that admitted it; the only one its result can count for.
        started_s: when, on the breaker's clock.
    """

    state: Serving
    started_s: float


class Breaker:
    """Stands before one dependency and stops calling it while it fails.

    Args:
        name: the dependency, as named in errors, events and metrics.
        policy: its limits.
        clock: the monotonic clock for windows, durations and open times.
        rng: where the jitter of open times comes from; seeded apart in each process.
        listener: told of every change of state.

    Attributes:
        rejected: how many calls were refused: the counter of this limit.
    """

    __slots__ = ("_context", "_emit", "_state", "rejected")

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy | None = None,
        *,
        clock: Clock,
        rng: random.Random,
        listener: Listener = ignore,
    ) -> None:
        policy = policy or BreakerPolicy()
        self._context = Context(name=name, policy=policy, clock=clock, rng=rng)
        self._emit = SafeListener(listener)
        self._state: State = Closed(self._context, now_s=clock.monotonic(), open_s=0.0)
        self.rejected = 0

    @property
    def name(self) -> str:
        """The dependency."""
        return self._context.name

    @property
    def state(self) -> StateName:
        """The state now. It stays `open` past its time until a call comes to probe with."""
        return self._state.name

    @property
    def counts(self) -> WindowCounts:
        """The evidence gathered in this state."""
        return self._state.counts()

    def call(self) -> Call:
        """A context manager round one call of the dependency; see `Call`."""
        return Call(self)

    def isolate(self) -> None:
        """Refuse every call until `release`. For operators."""
        if self.state is not StateName.ISOLATED:
            self._change(Change(to=Isolated(self._context), reason=ChangeReason.ISOLATED))

    def release(self) -> None:
        """End an isolation. Probes come first: an operator's word is no evidence of health."""
        if self.state is StateName.ISOLATED:
            probing = HalfOpen(self._context, open_s=self._context.policy.open_s)
            self._change(Change(to=probing, reason=ChangeReason.RELEASED))

    def admit(self) -> Admission:
        """Begin a call. `call` does this and `settle` as one block, and cannot forget the latter.

        Raises:
            BreakerOpen: if the call must not be made.
        """
        now_s = self._context.clock.monotonic()
        try:
            answer = self._state.admit(now_s)
            while isinstance(answer, Change):
                self._change(answer)
                answer = self._state.admit(now_s)
        except BreakerOpen:
            self.rejected += 1
            raise
        return Admission(answer, now_s)

    def settle(self, admission: Admission, error: BaseException | None) -> None:
        """End a call: classify it for the state that admitted it, if that still stands."""
        state, started_s = admission
        if state is not self._state:
            return
        failed = isinstance(error, RungError) and error.trips
        if error is not None and not failed:
            state.release(started_s)
            return
        now_s = self._context.clock.monotonic()
        slow = (now_s - started_s) * 1000 > self._context.policy.slow_call_ms
        change = state.settle(started_s, now_s, failed=failed, slow=slow)
        if change is not None:
            self._change(change)

    def _change(self, change: Change) -> None:
        left = self._state
        self._state = change.to
        self._emit(
            BreakerChanged(
                name=self.name,
                from_state=left.name,
                to_state=change.to.name,
                reason=change.reason,
                counts=left.counts(),
            )
        )


class Call:
    """One call of the dependency: admission on entering, classification on leaving.

    A plain `with` that may enclose an `await`. Enter each one once; the exception goes on.
    """

    __slots__ = ("_admission", "_breaker")

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> None:
        """Ask for admission.

        Raises:
            BreakerOpen: if the call must not be made.
        """
        self._admission = self._breaker.admit()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._breaker.settle(self._admission, error)
