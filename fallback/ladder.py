"""The ladder: the highest rung that can answer in time gives the answer.

    full -> batch -> rules -> tier_default

Attempts that begin together descend together, since much of what a rung does costs per call and not
per attempt. Each has its own descent: those that a rung cannot answer go on to the next one.

Steps are tried from the top. One is passed over, with its reason in `not_higher`, when

| condition | reason |
|---|---|
| the caller starts lower (`highest`), under pressure for one | `because` |
| it is switched off | `disabled` |
| less than `needed_ms` remains of the deadline | `deadline` |
| its bulkhead is full | `pressure` |
| it raises a `RungError` | the error's own |
| it overruns its guard | `timeout` |
| it raises anything else | `bug`, and the event carries the exception |

The last rung is total: synchronous, no I/O, nothing that can fail. So the descent ends with an
assessment whatever happens above. Two things leave it early: cancellation of the task, and, for its
own attempt, a `RequestError`, which no rung could answer any better.

The guard of a step is `max(needed_ms, remaining - reserve_ms)`: the reserve belongs to the lower
rungs, and a step that is tried at all gets what it says it needs. The guard is the last resort.
It cancels the rung, which costs a driver its connection and gives a breaker no evidence, so what
a rung calls must time out before: `deadline.share(cap_ms, keep_ms)` says when. A rung that
computes without awaiting cannot be cut off; `needed_ms` keeps it from being started too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, NamedTuple, Protocol, TypeVar

from fallback.bulkhead import Bulkhead
from fallback.clock import Clock
from fallback.deadline import Deadline
from fallback.errors import DeadlineNear, Disabled, RequestError, RungError, RungOverrun
from fallback.events import Listener, RungSkipped, RungTaken, SafeListener, ignore
from fallback.rung import Assessment, Reason, Rung, RungName

__all__ = ["Descent", "Ladder", "Step", "TotalRung"]

AttemptT = TypeVar("AttemptT")
AttemptT_contra = TypeVar("AttemptT_contra", contravariant=True)

_HEIGHT = {name: -depth for depth, name in enumerate(RungName)}
_UNBOUNDED = nullcontext()


class TotalRung(Protocol[AttemptT_contra]):
    """The last rung: always has an answer."""

    @property
    def name(self) -> RungName:
        """The rung's name on the wire."""
        ...

    def assess(self, attempt: AttemptT_contra) -> Assessment:
        """Assess one attempt from memory alone; never raises."""
        ...


def always() -> bool:
    """On, with nothing to switch it off."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[AttemptT]):
    """A rung with its limits.

    Attributes:
        rung: what assesses.
        needed_ms: with less time than this remaining the rung is not tried, >= 0. Its p99 in
            good health, or a little more.
        bulkhead: how many may be on this rung at once; None for a rung that never waits.
        enabled: asked before each try.

    Raises:
        ValueError: if `needed_ms` is negative.
    """

    rung: Rung[AttemptT]
    needed_ms: float
    bulkhead: Bulkhead | None = None
    enabled: Callable[[], bool] = always

    def __post_init__(self) -> None:
        if self.needed_ms < 0:
            raise ValueError(f"needed_ms must not be negative, got {self.needed_ms}")


class Descent(NamedTuple):
    """Which rung answered, what it said, and why no higher one did.

    Attributes:
        not_higher: the reason for every higher rung of this ladder, highest first.
        elapsed_ms: time from entering the ladder to the assessment.
    """

    rung: RungName
    assessment: Assessment
    not_higher: Mapping[RungName, Reason]
    elapsed_ms: float


class Ladder(Generic[AttemptT]):
    """Tries its steps from the top and ends on a total rung.

    Args:
        steps: highest first.
        last: the rung that cannot fail, below all steps.
        clock: what elapsed times are measured on.
        listener: told of every rung taken or skipped. Scoring in the background goes through a
            ladder of its own with the same steps, so that its events are not taken for traffic.
        reserve_ms: what a step must leave to the rungs below it, >= 0.

    Raises:
        ValueError: if the rungs are not in falling order, or the reserve is negative.
    """

    def __init__(
        self,
        steps: Sequence[Step[AttemptT]],
        last: TotalRung[AttemptT],
        *,
        clock: Clock,
        listener: Listener = ignore,
        reserve_ms: float = 2.0,
    ) -> None:
        names = [*(step.rung.name for step in steps), last.name]
        if any(_HEIGHT[upper] <= _HEIGHT[lower] for upper, lower in pairwise(names)):
            raise ValueError("the rungs of a ladder must be in falling order, each once")
        if reserve_ms < 0:
            raise ValueError(f"reserve_ms must not be negative, got {reserve_ms}")
        self._steps = tuple(steps)
        self._last = last
        self._clock = clock
        self._emit = SafeListener(listener)
        self._reserve_ms = reserve_ms

    async def assess(
        self,
        attempts: Sequence[AttemptT],
        deadline: Deadline,
        *,
        highest: RungName = RungName.FULL,
        because: Reason = Reason.PRESSURE,
    ) -> list[Descent | RequestError]:
        """Assess attempts, each on the highest rung that can.

        Args:
            attempts: what the rungs assess, at least one.
            deadline: the earliest by which one of their answers must be there.
            highest: the rung to start from; those above are not tried.
            because: the reason given for those.

        Returns:
            In order, the descent of each; or the `RequestError` by which a rung finds the request
            itself at fault.

        Raises:
            asyncio.CancelledError: if the task is cancelled.
        """
        going = _Going(attempts, self._clock.monotonic())
        for step in self._steps:
            name = step.rung.name
            if _HEIGHT[name] > _HEIGHT[highest]:
                going.pass_over(name, because)
                self._emit(
                    RungSkipped(rung=name, reason=because, elapsed_ms=0.0, attempts=len(going.left))
                )
                continue
            tried_s = self._clock.monotonic()
            outcomes = await self._try(step, going.attempts(), deadline)
            now_s = self._clock.monotonic()
            for event in going.settle(name, outcomes, tried_s=tried_s, now_s=now_s):
                self._emit(event)
            if not going.left:
                return going.descents()
        tried_s = self._clock.monotonic()
        assessments = list(map(self._last.assess, going.attempts()))
        now_s = self._clock.monotonic()
        for event in going.settle(self._last.name, assessments, tried_s=tried_s, now_s=now_s):
            self._emit(event)
        return going.descents()

    def last_resort(self, attempt: AttemptT, because: Reason) -> Descent:
        """The last rung's assessment, where none above it is to be tried.

        Args:
            attempt: what it assesses.
            because: the reason given for the others.
        """
        started_s = self._clock.monotonic()
        assessment = self._last.assess(attempt)
        elapsed_ms = (self._clock.monotonic() - started_s) * 1000
        not_higher = {step.rung.name: because for step in self._steps}
        for name in not_higher:
            self._emit(RungSkipped(rung=name, reason=because, elapsed_ms=0.0))
        self._emit(RungTaken(rung=self._last.name, elapsed_ms=elapsed_ms))
        return Descent(
            rung=self._last.name,
            assessment=assessment,
            not_higher=not_higher,
            elapsed_ms=elapsed_ms,
        )

    async def _try(
        self, step: Step[AttemptT], attempts: Sequence[AttemptT], deadline: Deadline
    ) -> Sequence[Assessment | BaseException]:
        """For each attempt the step's assessment, or the failure that sends it one rung down."""
        try:
            return await self._guarded(step, attempts, deadline)
        except Exception as error:  # noqa: BLE001 - a bug costs accuracy, never the answer
            return [error] * len(attempts)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this task: something it shares with others was cancelled below
            # it, such as a read, and the rung let that through.
            return [error] * len(attempts)

    async def _guarded(
        self, step: Step[AttemptT], attempts: Sequence[AttemptT], deadline: Deadline
    ) -> Sequence[Assessment | Exception]:
        if not step.enabled():
            raise Disabled
        if not deadline.allows(step.needed_ms):
            raise DeadlineNear(f"{deadline.remaining_ms():.1f} of {step.needed_ms} ms left")
        with step.bulkhead or _UNBOUNDED:
            guard_ms = max(step.needed_ms, deadline.remaining_ms() - self._reserve_ms)
            guard = asyncio.timeout(guard_ms / 1000)
            try:
                async with guard:
                    outcomes = await step.rung.assess(attempts, deadline)
            except TimeoutError as error:
                if guard.expired():
                    raise RungOverrun(f"cut off after {guard_ms:.1f} ms") from error
                raise
        if len(outcomes) != len(attempts):
            raise RuntimeError(f"{len(outcomes)} assessments of {len(attempts)} attempts")
        return outcomes


class _Going(Generic[AttemptT]):
    """Attempts on their way down, and what has come of each.

    Attributes:
        left: places of those that no rung has answered yet.
    """

    def __init__(self, attempts: Sequence[AttemptT], started_s: float) -> None:
        self.left = list(range(len(attempts)))
        self._attempts = attempts
        self._started_s = started_s
        self._done: list[Descent | RequestError | None] = [None] * len(attempts)
        self._not_higher: list[dict[RungName, Reason]] = [{} for _ in attempts]

    def attempts(self) -> Sequence[AttemptT]:
        """Those that are left."""
        if len(self.left) == len(self._attempts):
            return self._attempts
        return [self._attempts[at] for at in self.left]

    def descents(self) -> list[Descent | RequestError]:
        """What came of each."""
        return [done for done in self._done if done is not None]

    def pass_over(self, rung: RungName, reason: Reason) -> None:
        """A rung is not tried for those that are left."""
        for at in self.left:
            self._not_higher[at][rung] = reason

    def settle(
        self,
        rung: RungName,
        outcomes: Sequence[Assessment | BaseException],
        *,
        tried_s: float,
        now_s: float,
    ) -> list[RungTaken | RungSkipped]:
        """Take in what a rung says of those that are left; what there is to tell of it."""
        tried_ms, elapsed_ms = (now_s - tried_s) * 1000, (now_s - self._started_s) * 1000
        tried, self.left = self.left, []
        failed: dict[int, list[BaseException]] = {}  # one error may be of many attempts
        answered = 0
        for at, outcome in zip(tried, outcomes, strict=True):
            if isinstance(outcome, Assessment):
                answered += 1
                self._done[at] = Descent(
                    rung=rung,
                    assessment=outcome,
                    not_higher=self._not_higher[at],
                    elapsed_ms=elapsed_ms,
                )
            elif isinstance(outcome, RequestError):
                self._done[at] = outcome
            else:
                self.left.append(at)
                self._not_higher[at][rung] = _reason(outcome)
                failed.setdefault(id(outcome), []).append(outcome)
        told: list[RungTaken | RungSkipped] = [
            _skipped(rung, of[0], tried_ms, attempts=len(of)) for of in failed.values()
        ]
        if answered:
            told.append(RungTaken(rung=rung, elapsed_ms=tried_ms, attempts=answered))
        return told


def _reason(error: BaseException) -> Reason:
    """An expected failure's own; the rest is a bug."""
    return error.reason if isinstance(error, RungError) else Reason.BUG


def _skipped(
    rung: RungName, error: BaseException, elapsed_ms: float, *, attempts: int
) -> RungSkipped:
    """What to say of a rung that failed: expected failures by name, the rest as a bug."""
    expected = isinstance(error, RungError)
    return RungSkipped(
        rung=rung,
        reason=_reason(error),
        elapsed_ms=elapsed_ms,
        detail=str(error) if expected else repr(error),
        bug=None if expected else error,
        attempts=attempts,
    )
